/**
 * Commands about the connection or the server, answered without the state and without the log.
 *
 * Meaning and error texts are those of Redis 7.0; CLIENT SETINFO and NO-TOUCH are those of 7.2, because
 * today's clients send them. There is no password yet, so AUTH answers as a Redis without one does.
 */

import { Rejection } from '../engine/machine.ts';
import { type CommandEntry, fitsArity, type KeyPositions } from '../keyvalue/command-table.ts';
import { parseInteger } from '../keyvalue/integer.ts';
import { notAnInteger, startOf, syntaxError, unknownSubcommand, wrongArity } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue, VerbatimText } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import { commandCount, commandDocs, commandInfo, commandList } from './command-listing.ts';
import { formatInfo, type InfoSections } from './info.ts';
import type { Protocol } from './reply.ts';

/** The Redis whose answers this port gives: clients choose by it what they may send. */
export const REDIS_VERSION = '7.0.15';

export interface ConnectionCommand extends CommandEntry {
  readonly kind: 'connection';
  /** May answer by a promise; the client's next request waits until it has. */
  readonly isSlow: boolean;
  run(session: Session, request: Request): ReplyValue | Promise<ReplyValue>;
}

/** What a command may know and change of the connection it came by. */
export interface Session {
  readonly id: number;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly ageSeconds: number;
  readonly server: ServerView;
  /** Set by CLIENT SETNAME; empty for none. */
  name: string;
  libraryName: string;
  libraryVersion: string;
  protocol: Protocol;
  /** Takes no further requests, and closes once all earlier ones are answered. */
  quit(): void;
}

/** What a command may know of the server. */
export interface ServerView {
  readonly commands: readonly ListedCommand[];
  /** What CONFIG GET knows. */
  readonly config: ReadonlyMap<string, string>;
  readonly sessions: Iterable<Session>;
  /** Null where there is nothing to save. */
  readonly checkpoints: ServedCheckpoints | null;
  info(): InfoSections;
}

/** What SAVE, BGSAVE and LASTSAVE need of a node. */
export interface ServedCheckpoints {
  /** Whether one is being taken. */
  readonly isTaking: boolean;
  /** When the newest was taken, or the node started when there is none: milliseconds since 1970. */
  readonly lastTakenAt: number;
  /**
   * Takes one of everything answered so far; resolves when it is durable, with what there is to tell of it.
   * Requests share a run.
   */
  take(): Promise<Readonly<Record<string, string | number>>>;
}

export interface ListedCommand extends CommandEntry {
  readonly kind: 'read' | 'write' | 'connection';
}

/** Longest name or library of a client, in bytes: each client keeps three, and CLIENT LIST shows all. */
export const CLIENT_WORD_BYTES_MAX = 256;

interface Subcommand<Reply = ReplyValue> {
  readonly name: string;
  readonly arity: number;
  run(session: Session, request: Request): Reply;
}

const NO_KEYS: KeyPositions = { first: 0, last: 0, step: 0 };

/** The one user there is; Redis's name for a client that never said AUTH. */
const DEFAULT_USER = 'default';

const CLIENT_SUBCOMMANDS: readonly Subcommand[] = [
  { name: 'getname', arity: 2, run: (session) => (session.name === '' ? null : bulk(session.name)) },
  { name: 'id', arity: 2, run: (session) => session.id },
  { name: 'info', arity: 2, run: (session) => new VerbatimText(`${describeSession(session)}\n`) },
  { name: 'list', arity: 2, run: clientList },
  { name: 'no-evict', arity: 3, run: onOrOff },
  { name: 'no-touch', arity: 3, run: onOrOff },
  { name: 'setinfo', arity: 4, run: clientSetInfo },
  { name: 'setname', arity: 3, run: clientSetName },
];

const COMMAND_SUBCOMMANDS: readonly Subcommand[] = [
  { name: 'count', arity: 2, run: ({ server }) => commandCount(server.commands) },
  {
    name: 'docs',
    arity: -2,
    run: ({ server }, request) => commandDocs(server.commands, textsFrom(request, 2)),
  },
  {
    name: 'info',
    arity: -2,
    run: ({ server }, request) => commandInfo(server.commands, textsFrom(request, 2)),
  },
  { name: 'list', arity: 2, run: ({ server }) => commandList(server.commands) },
];

/** What Redis does not have. */
const TIDEMARK_SUBCOMMANDS: readonly Subcommand<Promise<ReplyValue>>[] = [
  { name: 'checkpoint', arity: 2, run: takeCheckpoint },
];

const CONFIG_SUBCOMMANDS: readonly Subcommand[] = [{ name: 'get', arity: -3, run: configGet }];

export const CONNECTION_COMMANDS: readonly ConnectionCommand[] = [
  command('auth', -2, 'Authenticate the connection', auth),
  command('bgsave', -1, 'Begin a checkpoint', backgroundSave),
  command('client', -2, 'Look after this connection', (session, request) =>
    runSubcommand('client', CLIENT_SUBCOMMANDS, session, request),
  ),
  command('command', -1, 'Describe the commands', (session, request) =>
    request.count === 1
      ? commandInfo(session.server.commands, [])
      : runSubcommand('command', COMMAND_SUBCOMMANDS, session, request),
  ),
  command('config', -2, 'Read the configuration', (session, request) =>
    runSubcommand('config', CONFIG_SUBCOMMANDS, session, request),
  ),
  command('echo', 2, 'Answer with the argument', (_, request) => request.argument(1)),
  command('hello', -1, 'Choose the protocol', hello),
  command(
    'info',
    -1,
    'Report on the server',
    (session, request) => new VerbatimText(formatInfo(session.server.info(), textsFrom(request, 1))),
  ),
  command('lastsave', 1, 'Tell when the newest checkpoint was taken', lastSave),
  command('ping', -1, 'Answer', ping),
  command('quit', -1, 'Close the connection', quit),
  command('reset', 1, 'Make the connection as new', reset),
  slowCommand('save', 1, 'Take a checkpoint', save),
  command('select', 2, 'Choose the database, of which there is one', select),
  slowCommand('tidemark', -2, 'What Tidemark does and Redis does not', (session, request) =>
    runSubcommand('tidemark', TIDEMARK_SUBCOMMANDS, session, request),
  ),
];

function command(name: string, arity: number, summary: string, run: Subcommand['run']): ConnectionCommand {
  return { kind: 'connection', name, arity, keys: NO_KEYS, summary, isSlow: false, run };
}

function slowCommand(
  name: string,
  arity: number,
  summary: string,
  run: ConnectionCommand['run'],
): ConnectionCommand {
  return { kind: 'connection', name, arity, keys: NO_KEYS, summary, isSlow: true, run };
}

function runSubcommand<Reply>(
  container: string,
  subcommands: readonly Subcommand<Reply>[],
  session: Session,
  request: Request,
): Reply {
  const found = subcommands.find(({ name }) => request.isWord(1, name));
  if (found === undefined) throw unknownSubcommand(container, request);
  const named = { ...found, name: `${container}|${found.name}`, keys: NO_KEYS, summary: '' };
  if (!fitsArity(named, request.count)) throw wrongArity(named.name);
  return found.run(session, request);
}

function auth(_: Session, request: Request): ReplyValue {
  if (request.count > 3) throw syntaxError();
  if (request.count === 2) {
    throw new Rejection(
      'ERR AUTH <password> called without any password configured for the default user. ' +
        'Are you sure your configuration is correct?',
    );
  }
  requireDefaultUser(request.text(1));
  return OK;
}

function requireDefaultUser(user: string): void {
  if (user === DEFAULT_USER) return;
  throw new Rejection('WRONGPASS invalid username-password pair or user is disabled.');
}

/** HELLO [protocol [AUTH user password] [SETNAME name]]. Nothing changes unless all of it is right. */
function hello(session: Session, request: Request): ReplyValue {
  let protocol = session.protocol;
  if (request.count > 1) protocol = protocolAt(request, 1);
  let name: string | null = null;
  for (let at = 2; at < request.count; at++) {
    if (request.isWord(at, 'auth') && at + 2 < request.count) {
      requireDefaultUser(request.text(at + 1));
      at += 2;
    } else if (request.isWord(at, 'setname') && at + 1 < request.count) {
      name = clientNameAt(request, at + 1);
      at += 1;
    } else {
      throw new Rejection(
        `ERR Syntax error in HELLO option '${startOf(request, at, CLIENT_WORD_BYTES_MAX)}'`,
      );
    }
  }
  session.protocol = protocol;
  if (name !== null) session.name = name;
  return new Map<ReplyValue, ReplyValue>([
    [bulk('server'), bulk('redis')],
    [bulk('version'), bulk(REDIS_VERSION)],
    [bulk('proto'), protocol],
    [bulk('id'), session.id],
    [bulk('mode'), bulk('standalone')],
    [bulk('role'), bulk('master')],
    [bulk('modules'), []],
  ]);
}

function protocolAt(request: Request, at: number): Protocol {
  const bytes = request.argument(at);
  const protocol = parseInteger(bytes, 0, bytes.length);
  if (protocol === null) throw new Rejection('ERR Protocol version is not an integer or out of range');
  if (protocol !== 2 && protocol !== 3) throw new Rejection('NOPROTO unsupported protocol version');
  return protocol;
}

function ping(_: Session, request: Request): ReplyValue {
  if (request.count > 2) throw wrongArity('ping');
  return request.count === 2 ? request.argument(1) : 'PONG';
}

function quit(session: Session): ReplyValue {
  session.quit();
  return OK;
}

function reset(session: Session): ReplyValue {
  session.name = '';
  session.protocol = 2;
  return 'RESET';
}

function select(_: Session, request: Request): ReplyValue {
  const bytes = request.argument(1);
  const database = parseInteger(bytes, 0, bytes.length);
  if (database === null) throw notAnInteger();
  if (database !== 0) throw new Rejection('ERR DB index is out of range');
  return OK;
}

/** Other clients are served meanwhile, unlike in Redis. */
async function save({ server }: Session): Promise<ReplyValue> {
  await checkpointsOf(server).take();
  return OK;
}

/** TIDEMARK CHECKPOINT: as SAVE, and tells what was taken. */
async function takeCheckpoint({ server }: Session): Promise<ReplyValue> {
  const taken = await checkpointsOf(server).take();
  return new Map<ReplyValue, ReplyValue>(
    Object.entries(taken).map(([name, value]) => [
      bulk(name),
      Number.isSafeInteger(value) ? Number(value) : bulk(String(value)),
    ]),
  );
}

function backgroundSave({ server }: Session, request: Request): ReplyValue {
  if (request.count > 2 || (request.count === 2 && !request.isWord(1, 'schedule'))) throw syntaxError();
  const checkpoints = checkpointsOf(server);
  const { isTaking } = checkpoints;
  if (isTaking && request.count === 1) throw new Rejection('ERR Background save already in progress');
  checkpoints.take().catch(() => undefined); // INFO tells how it ended.
  return isTaking ? 'Background saving scheduled' : 'Background saving started';
}

function lastSave({ server }: Session): ReplyValue {
  return Math.floor(checkpointsOf(server).lastTakenAt / 1000);
}

function checkpointsOf({ checkpoints }: ServerView): ServedCheckpoints {
  if (checkpoints === null) throw new Rejection('ERR this server has no state to save');
  return checkpoints;
}

function clientSetName(session: Session, request: Request): ReplyValue {
  session.name = clientNameAt(request, 2);
  return OK;
}

function clientNameAt(request: Request, at: number): string {
  return clientWordAt(request, at, 'Client names');
}

/** Printable ASCII without blanks: anything else would break the lines of CLIENT LIST. */
function clientWordAt(request: Request, at: number, what: string): string {
  if (request.argumentLength(at) > CLIENT_WORD_BYTES_MAX) {
    throw new Rejection(`ERR ${what} cannot be longer than ${CLIENT_WORD_BYTES_MAX} bytes.`);
  }
  const word = request.text(at);
  if (/^[!-~]*$/.test(word)) return word;
  throw new Rejection(`ERR ${what} cannot contain spaces, newlines or special characters.`);
}

function clientSetInfo(session: Session, request: Request): ReplyValue {
  if (request.isWord(2, 'lib-name')) session.libraryName = clientWordAt(request, 3, 'lib-name');
  else if (request.isWord(2, 'lib-ver')) session.libraryVersion = clientWordAt(request, 3, 'lib-ver');
  else throw new Rejection(`ERR Unrecognized option '${startOf(request, 2, CLIENT_WORD_BYTES_MAX)}'`);
  return OK;
}

/** No client is evicted and no key is touched, so either word changes nothing. */
function onOrOff(_: Session, request: Request): ReplyValue {
  if (!request.isWord(2, 'on') && !request.isWord(2, 'off')) throw syntaxError();
  return OK;
}

function clientList(session: Session): ReplyValue {
  const lines = Array.from(session.server.sessions, (each) => `${describeSession(each)}\n`);
  return new VerbatimText(lines.join(''));
}

function describeSession(session: Session): string {
  return (
    `id=${session.id} addr=${session.remoteAddress} laddr=${session.localAddress} name=${session.name} ` +
    `age=${session.ageSeconds} flags=N db=0 user=${DEFAULT_USER} ` +
    `lib-name=${session.libraryName} lib-ver=${session.libraryVersion} resp=${session.protocol}`
  );
}

/** Each pattern is a whole name or `*`: there are too few parameters for more. */
function configGet(session: Session, request: Request): ReplyValue {
  const patterns = textsFrom(request, 2).map((pattern) => pattern.toLowerCase());
  const isAsked = (name: string) => patterns.includes(name) || patterns.includes('*');
  const found = [...session.server.config].filter(([name]) => isAsked(name));
  return new Map<ReplyValue, ReplyValue>(found.map(([name, value]) => [bulk(name), bulk(value)]));
}

function textsFrom(request: Request, first: number): string[] {
  return Array.from({ length: Math.max(request.count - first, 0) }, (_, at) => request.text(first + at));
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
