/** `tidemark diff`: what turns one state into another, for people or as a delta that can be applied. */

import { once } from 'node:events';
import { TidemarkError } from '../base/errors.ts';
import { type DiffCost, diffStates, type StateDiff } from '../base/merkle/diff-states.ts';
import type { KeyRange } from '../base/merkle/difference.ts';
import { stateKeyOf } from '../keyvalue/layout.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import type { StoredState } from '../node/stored-state.ts';
import { DeltaWriter } from './delta.ts';
import { DIFF_EXIT_CODES, EXIT_CODES, exitCodeOf } from './exit-code.ts';
import { count, formatBytes, printError } from './output.ts';
import { Progress } from './progress.ts';
import { RecordText, type ShownValues } from './record-text.ts';
import { openState, parseTarget } from './state-target.ts';

export interface DiffVerbOptions {
  readonly values?: ShownValues;
  readonly limit?: number;
  readonly prefix?: string;
  readonly json: boolean;
}

export async function diff(source: string, target: string, options: DiffVerbOptions): Promise<number> {
  const progress = new Progress('comparing', { one: 'record', many: 'records' });
  try {
    await using states = await openBoth(source, target);
    const lines = new Lines();
    const onRound = (cost: DiffCost): void => progress.update(cost.keysPassed, cost.keysTotal);
    const write = options.json ? writeDelta : writeText;
    const isEqual = await write({ ...states, onRound }, options, lines);
    progress.end();
    await lines.end();
    return isEqual ? DIFF_EXIT_CODES.equal : DIFF_EXIT_CODES.different;
  } catch (error) {
    progress.end();
    printError(error, options.json ? 'json' : 'text');
    const code = exitCodeOf(error);
    return code === EXIT_CODES.usage ? DIFF_EXIT_CODES.trouble : code;
  }
}

interface BothStates {
  readonly source: StoredState;
  readonly target: StoredState;
}

interface Compared extends BothStates {
  readonly onRound: (cost: DiffCost) => void;
}

async function openBoth(sourceText: string, targetText: string): Promise<BothStates & AsyncDisposable> {
  const source = await openState(parseTarget(sourceText));
  const opened = [source];
  const close = async (): Promise<void> => {
    for (const state of opened) await state.close();
  };
  try {
    const target = await openState(parseTarget(targetText));
    opened.push(target);
    requireSameMachine(source, target);
    return { source, target, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close(); // A connection that stays open keeps the process alive.
    throw error;
  }
}

/** What keys and values mean is a matter of the machine. @throws TidemarkError TIDEMARK_MACHINE_MISMATCH. */
export function requireSameMachine(source: StoredState, target: StoredState): void {
  const [one, other] = [source.facts.machine.name, target.facts.machine.name];
  if (one === other) return;
  throw new TidemarkError(
    'TIDEMARK_MACHINE_MISMATCH',
    `${source.name} has data of the machine ${one}, ${target.name} of ${other}: they cannot be compared`,
    { remedy: 'fix-call', facts: { source: one, target: other } },
  );
}

/** Returns whether they are equal. */
async function writeDelta(
  states: Compared,
  { values = 'full', limit = Infinity, prefix }: DiffVerbOptions,
  lines: Lines,
): Promise<boolean> {
  const { source, target } = states;
  const writer = new DeltaWriter((line) => lines.add(line));
  const isFull = values === 'full';
  writer.header(source, target, isFull && limit === Infinity && prefix === undefined);
  const found = differences(states, isFull ? 'both' : 'none', prefix);
  let number = 0;
  for await (const one of found) {
    if (number === limit) break;
    number++;
    writer.change(one, isFull ? 'full' : 'none');
    await lines.room();
  }
  writer.end(found.cost);
  return number === 0;
}

async function writeText(
  states: Compared,
  { values = 'short', limit = Infinity, prefix }: DiffVerbOptions,
  lines: Lines,
): Promise<boolean> {
  const { source, target } = states;
  const text = new RecordText(target.facts.machine.name, values);
  const counts = { added: 0, changed: 0, deleted: 0 };
  const found = differences(states, values === 'full' ? 'both' : 'none', prefix);
  let number = 0;
  let isCut = false;
  for await (const one of found) {
    isCut = number === limit;
    if (isCut) break;
    number++;
    counts[one.kind]++;
    lines.add(text.describe(one));
    await lines.room();
  }
  if (number === 0 && !isCut) {
    lines.add(`equal: ${count(source.keys, 'record')}, ${describeCost(found.cost)}`);
    return true;
  }
  const { added, changed, deleted } = counts;
  lines.add(
    `${isCut ? 'the first ' : ''}${added} added, ${changed} changed, ${deleted} deleted; ` +
      describeCost(found.cost),
  );
  if (source.facts.clusterId !== target.facts.clusterId) lines.add(OTHER_CLUSTER);
  return false;
}

/** Trees of two clusters have other shapes: no part of one is a part of the other. */
export const OTHER_CLUSTER = 'These are states of two clusters: both were read to their ends.';

function describeCost({ rounds, nodes, bytes }: DiffCost): string {
  const read = count(nodes.source + nodes.target, 'node');
  return `${read} read in ${count(rounds, 'round')}, ${formatBytes(bytes.source + bytes.target)}`;
}

function differences(
  { source, target, onRound }: Compared,
  values: 'both' | 'none',
  prefix: string | undefined,
): StateDiff {
  const isKeyValue = target.facts.machine.name === keyValueMachine.name;
  const range = prefix === undefined ? {} : { range: rangeOf(prefix, isKeyValue ? 'user' : 'state') };
  return diffStates(source, target, { values, ...range, onRound });
}

/** All keys that begin with a text: those of users, or of the state as they are. */
function rangeOf(prefix: string, kind: 'user' | 'state'): KeyRange {
  const from = kind === 'user' ? stateKeyOf(Buffer.from(prefix)) : Buffer.from(prefix);
  const last = from.findLastIndex((byte) => byte < 0xff);
  if (last < 0) return { from, to: null };
  const to = Uint8Array.from(from.subarray(0, last + 1));
  to[last]!++;
  return { from, to };
}

/** Lines for standard output, which may be slower than they come. */
class Lines {
  #pending: string[] = [];
  #pendingChars = 0;

  add(line: string): void {
    this.#pending.push(line, '\n');
    this.#pendingChars += line.length;
  }

  /** Waits while the reader is behind. */
  async room(): Promise<void> {
    if (this.#pendingChars >= PENDING_CHARS_MAX) await this.end();
  }

  async end(): Promise<void> {
    const text = this.#pending.join('');
    this.#pending = [];
    this.#pendingChars = 0;
    if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
  }
}

const PENDING_CHARS_MAX = 64 * 1024;
