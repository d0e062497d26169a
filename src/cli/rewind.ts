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

type Fields = Readonly<Record<string, unknown>>;

export async function rewind(options: RewindOptions): Promise<number> {
  const { dir, json } = options;
  const made: Fields =
    dir === undefined
      ? await rewindRunning(options)
      : { ...(await copyOf(dir, options)), into: options.into };
  if (json) print(JSON.stringify(made));
  else
    for (const line of dir === undefined ? describe(made, options) : describeCopy(made, options)) print(line);
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

function describe(made: Fields, { dryRun }: RewindOptions): string[] {
  const { fromIndex, madeBy, root, heldMs } = made;
  const changes = changesOf(made);
  if (dryRun) return [`would go back ${pointOf(made)}: ${changes}`, ...costOf(made), 'nothing was changed'];
  return [
    `rewound from entry ${fromIndex} ${pointOf(made)}: ${changes}`,
    `made by entry ${madeBy}, root ${root}; commands waited ${Math.round(Number(heldMs))} ms. ` +
      `To take it back: tidemark rewind --to ${fromIndex}`,
    ...warningsOf(made),
  ];
}

function describeCopy(made: Fields, { into, dryRun }: RewindOptions): string[] {
  const { keys, root, timeline } = made;
  if (dryRun) {
    return [
      `${pointOf(made)}, from the end of the log: ${changesOf(made)}`,
      ...costOf(made),
      'nothing was made',
    ];
  }
  return [
    `made ${into}, ${pointOf(made)}: ${count(Number(keys), 'key')}, timeline ${timeline}, root ${root}`,
    ...warningsOf(made),
  ];
}

function pointOf({ index, commands, time }: Fields): string {
  const part = commands == null ? '' : `.${Number(commands)}`;
  return `to entry ${Number(index)}${part} of ${formatTime(Number(time))}`;
}

function changesOf({ keysAdded, keysChanged, keysDeleted }: Fields): string {
  const words = [
    `${count(Number(keysAdded), 'key')} added`,
    `${Number(keysChanged).toLocaleString('en')} changed`,
    `${Number(keysDeleted).toLocaleString('en')} deleted`,
  ];
  return words.join(', ');
}

function costOf(made: Fields): string[] {
  const { checkpoint, entriesReplayed, commandsReplayed, tookMs } = made;
  const from = Number(checkpoint) === 0 ? 'the whole log' : `the checkpoint of entry ${Number(checkpoint)}`;
  const entries = count(Number(entriesReplayed), 'entry', 'entries');
  const commands = count(Number(commandsReplayed), 'command');
  return [
    `from ${from}, ${entries} with ${commands} behind it, in ${Math.round(Number(tookMs))} ms`,
    ...warningsOf(made),
  ];
}

function warningsOf({ warnings }: Fields): string[] {
  const list = Array.isArray(warnings) ? warnings : warnings === undefined ? [] : [warnings];
  return list.map((warning) => `warning: ${String(warning)}`);
}

function wrongCall(message: string): TidemarkError {
  return new TidemarkError('TIDEMARK_OPTION_INVALID', message, { remedy: 'fix-call' });
}
