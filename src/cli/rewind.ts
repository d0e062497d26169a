/**
 * `tidemark rewind`: makes the state what it was at an earlier point, of a running node over its port; or
 * builds a copy of that point beside, in a new directory.
 */

import { TidemarkError } from '../base/errors.ts';
import { type RestoredPoint, restorePoint } from '../node/restore-point.ts';
import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { askNode, fieldsOf, nodeAddress } from './node-client.ts';
import { count, formatTime, print } from './output.ts';
import { Progress } from './progress.ts';

/** With `dir` that directory is read; without it the running node is asked. */
export interface RewindOptions extends ConfigFlags {
  readonly to: string;
  readonly dryRun: boolean;
  /** The directory to make. */
  readonly into?: string;
  readonly json: boolean;
}

/** As the port tells them: what is null or empty is left out. */
type Fields = Readonly<Record<string, string | number>>;

export async function rewind(options: RewindOptions): Promise<number> {
  const { dir, json } = options;
  if (dir === undefined) {
    const made = await rewindRunning(options);
    if (json) print(JSON.stringify(made));
    else for (const line of describe(made, options)) print(line);
    return EXIT_CODES.done;
  }
  const { warnings, ...made } = await copyOf(dir, options);
  if (json) print(JSON.stringify({ ...made, warnings, into: options.into }));
  else for (const line of describeCopy(made, warnings, options)) print(line);
  return EXIT_CODES.done;
}

async function copyOf(dir: string, { to, into, dryRun }: RewindOptions): Promise<RestoredPoint> {
  if (into === undefined && !dryRun) {
    throw wrongCall('a directory is rewound into another one: add --into, or --dry-run to see what there is');
  }
  const bar = new Progress('replaying', { one: 'entry', many: 'entries' });
  try {
    const onProgress = (done: number, total: number): void => bar.update(done, total);
    return await restorePoint({ from: dir, into: dryRun ? null : into!, to, onProgress });
  } finally {
    bar.end();
  }
}

/** However long it takes: the log behind a checkpoint is replayed first. */
async function rewindRunning(options: RewindOptions): Promise<Fields> {
  const { to, into, dryRun } = options;
  if (into !== undefined) throw wrongCall('--into builds a copy of a directory: name that with --dir');
  const request = ['TIDEMARK', 'REWIND', to, ...(dryRun ? ['DRYRUN'] : [])];
  return fieldsOf(await askNode(await nodeAddress(options), request, null));
}

function describe(made: Fields, options: RewindOptions): string[] {
  const { dryRun } = options;
  const { fromIndex = 0, madeBy = 0, root = '', heldMs, warnings } = made;
  const changes = changesOf(made);
  const warned = warnings === undefined ? [] : [`warning: ${warnings}`];
  if (dryRun) {
    return [`would go back ${pointOf(made)}: ${changes}`, costOf(made), ...warned, 'nothing was changed'];
  }
  return [
    `rewound from entry ${fromIndex} ${pointOf(made)}: ${changes}`,
    `made by entry ${madeBy}, root ${root}; commands waited ${Math.round(Number(heldMs))} ms. ` +
      `To take it back: tidemark rewind --to ${fromIndex}${addressFlags(options)}`,
    ...warned,
  ];
}

/** What the node was reached by; the password stays where it is. */
function addressFlags({ config, host, port, passwordFile }: RewindOptions): string {
  const given = { config, host, port, 'password-file': passwordFile };
  const flags = Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [` --${name} ${value}`],
  );
  return flags.join('');
}

function describeCopy(
  made: Omit<RestoredPoint, 'warnings'>,
  warnings: readonly string[],
  { into, dryRun }: RewindOptions,
): string[] {
  const { keys, root, timeline } = made;
  const warned = warnings.map((warning) => `warning: ${warning}`);
  if (dryRun) {
    const changes = `${pointOf(made)}, from the end of the log: ${changesOf(made)}`;
    return [changes, costOf(made), ...warned, 'nothing was made'];
  }
  const what = `${count(keys, 'key')}, timeline ${timeline}, root ${root}`;
  return [`made ${into}, ${pointOf(made)}: ${what}`, ...warned];
}

type Pointed = Partial<Record<'index' | 'commands' | 'time', string | number | null>>;

function pointOf({ index, commands, time }: Pointed): string {
  // "1h ago" of a younger node: whoever did not mean that must see it.
  if (Number(index ?? 0) === 0) return 'to the empty state before the first entry';
  const part = commands == null ? '' : `.${commands}`;
  return `to entry ${index ?? 0}${part} of ${formatTime(Number(time))}`;
}

type Changed = Partial<Record<'keysAdded' | 'keysChanged' | 'keysDeleted', string | number>>;

function changesOf({ keysAdded, keysChanged, keysDeleted }: Changed): string {
  const words = [
    `${count(Number(keysAdded), 'key')} added`,
    `${Number(keysChanged).toLocaleString('en')} changed`,
    `${Number(keysDeleted).toLocaleString('en')} deleted`,
  ];
  return words.join(', ');
}

type Costly = Partial<
  Record<'checkpoint' | 'entriesReplayed' | 'commandsReplayed' | 'tookMs', string | number>
>;

function costOf({ checkpoint, entriesReplayed, commandsReplayed, tookMs }: Costly): string {
  const from = Number(checkpoint) === 0 ? 'the whole log' : `the checkpoint of entry ${Number(checkpoint)}`;
  const entries = count(Number(entriesReplayed), 'entry', 'entries');
  const commands = count(Number(commandsReplayed), 'command');
  return `from ${from}, ${entries} with ${commands} behind it, in ${Math.round(Number(tookMs))} ms`;
}

function wrongCall(message: string): TidemarkError {
  return new TidemarkError('TIDEMARK_OPTION_INVALID', message, { remedy: 'fix-call' });
}
