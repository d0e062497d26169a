/** `tidemark verify`: reads everything in a data directory and checks it. Changes nothing, takes no lock. */

import { decodeActivation } from '../engine/activation.ts';
import { forEachCommand } from '../engine/entry.ts';
import { type LogFinding, readLog } from '../log/read-log.ts';
import { readStatus } from '../log/status.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { EXIT_CODES } from './exit-code.ts';
import { count, formatBytes, print } from './output.ts';

const fs = new NodeFileSystem();

export async function verify(dir: string, json: boolean): Promise<number> {
  const started = performance.now();
  const { status, copies } = await readStatus(fs, dir);
  const findings: LogFinding[] = copies
    .filter((copy) => copy.verdict !== 'newest')
    .map(({ copy, verdict }) => ({
      kind: 'warning',
      file: `${dir}/status`,
      offset: null,
      message: `copy ${copy} of the status is ${verdict}; the next start repairs it`,
    }));
  const counted = { segments: 0, entries: 0, commands: 0, bytes: 0 };
  await readLog(fs, dir, status, {
    segment() {
      counted.segments++;
    },
    record(record) {
      counted.bytes += record.endOffset - record.offset;
      if (record.type === 'mark') return;
      counted.entries++;
      if (record.type === 'activation') decodeActivation(record.body);
      else counted.commands += forEachCommand(record.body, () => undefined);
    },
    finding: (finding) => findings.push(finding),
  });
  const isWhole = !findings.some((finding) => finding.kind === 'damage');
  const tookMs = Math.round(performance.now() - started);
  if (json) print(JSON.stringify({ ok: isWhole, dir, ...counted, findings, tookMs }));
  else printReport(dir, isWhole, counted, findings, tookMs);
  return isWhole ? EXIT_CODES.done : EXIT_CODES.restore;
}

function printReport(
  dir: string,
  isWhole: boolean,
  counted: { segments: number; entries: number; commands: number; bytes: number },
  findings: readonly LogFinding[],
  tookMs: number,
): void {
  for (const { kind, file, offset, message } of findings) {
    print(`${kind}: ${file}${offset === null ? '' : `:${offset}`}: ${message}`);
  }
  const { segments, entries, commands, bytes } = counted;
  print(
    `${isWhole ? 'whole' : 'DAMAGED'}: ${dir}: ${count(commands, 'command')} in ` +
      `${count(entries, 'entry', 'entries')}, ${count(segments, 'segment')}, ` +
      `${formatBytes(bytes)} verified in ${tookMs} ms`,
  );
  if (!isWhole)
    print('Copy the directory before anything else; then bring the named files back from a copy.');
}
