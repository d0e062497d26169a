/** Commands about checkpoints: taking, listing, tagging and removing them. */

import { Rejection } from '../engine/machine.ts';
import { parseInteger } from '../keyvalue/integer.ts';
import { notAnInteger, syntaxError } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import {
  type ConnectionCommand,
  command,
  type ServedCheckpoints,
  type ServerView,
  type Session,
  slowCommand,
} from './connection-command.ts';
import { factsOf } from './served-facts.ts';

/** Names that Redis has. */
export const SAVE_COMMANDS: readonly ConnectionCommand[] = [
  command('bgsave', -1, 'Begin a checkpoint', backgroundSave, 'server'),
  command('lastsave', 1, 'Tell when the newest checkpoint was taken', lastSave, 'server'),
  slowCommand('save', 1, 'Take a checkpoint', save),
];

export const CHECKPOINT_COMMANDS: readonly ConnectionCommand[] = [
  slowCommand('tidemark|checkpoint', -2, 'Take a checkpoint, and tell of it', takeCheckpoint),
  command('tidemark|checkpoints', 2, 'List the checkpoints, and what keeps each', list, 'tidemark'),
  slowCommand('tidemark|prune', -2, 'Remove the checkpoints that nothing keeps', prune),
  slowCommand('tidemark|tag', -3, 'Keep a checkpoint alive under a name', tag),
  command('tidemark|tags', 2, 'List the tags', listTags, 'tidemark'),
  slowCommand('tidemark|untag', 3, 'Take a tag off', untag),
];

/** Other clients are served meanwhile, unlike in Redis. */
async function save({ server }: Session): Promise<ReplyValue> {
  await checkpointsOf(server).take(null);
  return OK;
}

function backgroundSave({ server }: Session, request: Request): ReplyValue {
  if (request.count > 2 || (request.count === 2 && !request.isWord(1, 'schedule'))) throw syntaxError();
  const checkpoints = checkpointsOf(server);
  const { isTaking } = checkpoints;
  if (isTaking && request.count === 1) throw new Rejection('ERR Background save already in progress');
  checkpoints.take(null).catch(() => undefined); // INFO tells how it ended.
  return isTaking ? 'Background saving scheduled' : 'Background saving started';
}

function lastSave({ server }: Session): ReplyValue {
  return Math.floor(checkpointsOf(server).lastTakenAt / 1000);
}

/** TIDEMARK CHECKPOINT [TAG name]: as SAVE, and tells what was taken. */
async function takeCheckpoint({ server }: Session, request: Request): Promise<ReplyValue> {
  const isTagged = request.count === 4 && request.isWord(2, 'tag');
  if (request.count > 2 && !isTagged) throw syntaxError();
  return factsOf(await checkpointsOf(server).take(isTagged ? request.text(3) : null));
}

function list({ server }: Session): ReplyValue {
  return checkpointsOf(server).list().map(factsOf);
}

function listTags({ server }: Session): ReplyValue {
  return checkpointsOf(server).tags().map(factsOf);
}

/** TIDEMARK TAG name [index]: answers the index of the checkpoint; without one, that of the newest. */
async function tag({ server }: Session, request: Request): Promise<ReplyValue> {
  if (request.count > 4) throw syntaxError();
  let index: number | null = null;
  if (request.count === 4) {
    const bytes = request.argument(3);
    index = Number(parseInteger(bytes, 0, bytes.length) ?? Number.NaN);
    if (!Number.isSafeInteger(index)) throw notAnInteger();
  }
  return checkpointsOf(server).tag(request.text(2), index);
}

/** Answers how many were taken off. */
async function untag({ server }: Session, request: Request): Promise<ReplyValue> {
  return Number(await checkpointsOf(server).untag(request.text(2)));
}

/** TIDEMARK PRUNE [DRYRUN]. */
async function prune({ server }: Session, request: Request): Promise<ReplyValue> {
  const isDryRun = request.count === 3 && request.isWord(2, 'dryrun');
  if (request.count > (isDryRun ? 3 : 2)) throw syntaxError();
  const { removed, ...facts } = await checkpointsOf(server).prune(isDryRun ? 'dry-run' : 'make');
  return new Map([...factsOf(facts), [Buffer.from('removed'), removed.map(factsOf)]]);
}

function checkpointsOf({ checkpoints }: ServerView): ServedCheckpoints {
  if (checkpoints === null) throw new Rejection('ERR this server has no state to save');
  return checkpoints;
}
