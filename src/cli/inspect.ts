/**
 * `tidemark inspect log|status`: what is on the disk, as it is. Reads only; needs no running node. Of
 * checkpoints: inspect-checkpoint.ts.
 */

import { type Activation, decodeActivation, describeActivation } from '../engine/activation.ts';
import { describeCall } from '../engine/call.ts';
import { forEachCommand } from '../engine/entry.ts';
import type { Machine } from '../engine/machine.ts';
import { describeProcedureRecord, isProcedureRecord } from '../engine/procedure-record.ts';
import { decodeRewind, describeRewind, type RewindPart } from '../engine/rewind-entry.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import { readLog } from '../log/read-log.ts';
import type { LogRecord } from '../log/segment-reader.ts';
import { readStatus } from '../log/status.ts';
import type { LogFinding, SegmentSummary } from '../log/verify-segment.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { bytesIn, countingFileSystem } from './counting-file-system.ts';
import { EXIT_CODES } from './exit-code.ts';
import { formatBytes, formatTime, print, table } from './output.ts';
import { Progress } from './progress.ts';

const fs = new NodeFileSystem();

export interface InspectLogOptions {
  readonly json: boolean;
  /** First and last index to list. */
  readonly first: number;
  readonly last: number;
  /** Whether to print every command, not only how many. */
  readonly commands: boolean;
}

export async function inspectLog(dir: string, options: InspectLogOptions): Promise<number> {
  const progress = new Progress('reading the log', 'bytes');
  const bytes = await bytesIn(fs, `${dir}/log`);
  const counted = countingFileSystem(({ readBytes }) => progress.update(readBytes, bytes));
  const { status } = await readStatus(fs, dir);
  const segments: SegmentSummary[] = [];
  const findings: LogFinding[] = [];
  const listing = options.json ? new JsonListing() : new TextListing();
  listing.begin();
  await readLog(counted, dir, status, {
    segment: (summary) => segments.push(summary),
    finding: (finding) => findings.push(finding),
    record(record, file) {
      if (record.type === 'mark' || record.index < options.first || record.index > options.last) return;
      listing.entry(record, file, contentOf(record, status.machine.name, options));
    },
  });
  progress.end();
  listing.end(segments, findings);
  return findings.some((finding) => finding.kind === 'damage') ? EXIT_CODES.restore : EXIT_CODES.done;
}

export async function inspectStatus(dir: string, json: boolean): Promise<number> {
  const { status, copies } = await readStatus(fs, dir);
  if (json) {
    print(JSON.stringify({ status, copies }));
    return EXIT_CODES.done;
  }
  const rows = Object.entries(status).map(([field, value]) => [
    field,
    typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value),
  ]);
  print(table(rows));
  print('');
  print(
    table([
      ['copy', 'sequence', 'verdict'],
      ...copies.map((copy) => [copy.copy, copy.sequence ?? '-', copy.verdict]),
    ]),
  );
  return EXIT_CODES.done;
}

/** What is in an entry. */
interface Content {
  readonly count: number;
  /** Empty unless they were asked for. */
  readonly commands: readonly string[];
  /** What it activates; null for an entry of commands. */
  readonly activation: Activation | null;
  /** The part of a rewind that it is; null for an entry of commands. */
  readonly rewind: RewindPart | null;
}

function contentOf(record: LogRecord, machineName: string, options: InspectLogOptions): Content {
  const nothing = { count: 0, commands: [], activation: null, rewind: null };
  if (record.type === 'activation') return { ...nothing, activation: decodeActivation(record.body) };
  if (record.type === 'rewind') return { ...nothing, rewind: decodeRewind(record.body) };
  const commands: string[] = [];
  const machine: Pick<Machine, 'describe'> = machineName === keyValueMachine.name ? keyValueMachine : UNKNOWN;
  const count = forEachCommand(record.body, (command) => {
    if (options.commands) commands.push(describeCommand(machine, command));
  });
  return { ...nothing, count, commands };
}

function describeCommand(machine: Pick<Machine, 'describe'>, command: Uint8Array): string {
  if (!isProcedureRecord(command)) return machine.describe(command);
  return describeProcedureRecord(command, (inner) => machine.describe(inner));
}

/** Of a machine whose program is not at hand: calls of `machine({...})` can be read, others cannot. */
const UNKNOWN: Pick<Machine, 'describe'> = {
  describe: (command) => describeCall(command) ?? `${command.length} bytes`,
};

/** One JSON document, written as it is read: a line per entry. */
class JsonListing {
  #entries = 0;

  begin(): void {
    print('{"entries":[');
  }

  entry(record: LogRecord, file: string, { count, commands, activation, rewind }: Content): void {
    const { index, term, timeline, time, offset, length } = record;
    const line = { index, timeline, term, time, commands: count, bytes: length, file, offset };
    const noted = {
      ...line,
      ...(activation === null ? {} : { activation }),
      ...(rewind === null ? {} : { rewind: plainRewind(rewind) }),
    };
    const listed = commands.length > 0 ? { ...noted, list: commands } : noted;
    print(`${this.#entries++ === 0 ? '' : ','}${JSON.stringify(listed)}`);
  }

  end(segments: readonly SegmentSummary[], findings: readonly LogFinding[]): void {
    const plain = segments.map(({ header, ...summary }) => ({
      ...summary,
      sequence: header.sequence,
      id: header.id,
    }));
    print(`],"segments":${JSON.stringify(plain)},"findings":${JSON.stringify(findings)}}`);
  }
}

function plainRewind({ part, isLast, target, changes }: RewindPart): Record<string, unknown> {
  const { index, commands, time, root } = target;
  const keys = [...changes].length;
  return { part, isLast, index, commands, time, root: Buffer.from(root).toString('hex'), keys };
}

class TextListing {
  begin(): void {
    print('     index  term  time                      commands       bytes  where');
  }

  entry(record: LogRecord, file: string, { count, commands, activation, rewind }: Content): void {
    const { index, term, time, offset, length } = record;
    const columns = [String(index).padStart(10), String(term).padStart(4), formatTime(time).padEnd(24)];
    const sizes = [String(count).padStart(8), formatBytes(length).padStart(10)];
    print([...columns, ...sizes, `${file}:${offset}`].join('  '));
    if (activation !== null) print(`            ${describeActivation(activation)}`);
    if (rewind !== null) print(`            ${describeRewind(rewind)}`);
    for (const command of commands) print(`            ${command}`);
  }

  end(segments: readonly SegmentSummary[], findings: readonly LogFinding[]): void {
    print('');
    const head = ['segment', 'sequence', 'first', 'last', 'entries', 'ends at', 'sealed'];
    const rows = segments.map(({ file, header, firstIndex, lastIndex, entries, end, isSealed }) => [
      file,
      header.sequence,
      firstIndex,
      lastIndex,
      entries,
      end,
      isSealed ? 'yes' : 'no',
    ]);
    print(table([head, ...rows]));
    for (const { kind, file, offset, message } of findings)
      print(`${kind}: ${file}${offset === null ? '' : `:${offset}`}: ${message}`);
  }
}
