/**
 * Commands about the connection or the server, answered without the state and without the log.
 *
 * Meaning and error texts are those of Redis 7.0; CLIENT SETINFO and NO-TOUCH are those of 7.2, because
 * today's clients send them.
 */

import { Rejection } from '../engine/machine.ts';
import type { KeyPositions } from '../keyvalue/command-table.ts';
import { TIDEMARK_STATE_SUBCOMMANDS } from '../keyvalue/commands.ts';
import { parseInteger } from '../keyvalue/integer.ts';
import { notAnInteger, startOf, syntaxError, unknownSubcommand, wrongArity } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue, VerbatimText } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import { CHECKPOINT_COMMANDS, SAVE_COMMANDS } from './checkpoint-commands.ts';
import { CLIENT_WORD_BYTES_MAX, clientNameAt, clientSubcommands, DEFAULT_USER } from './client-commands.ts';
import { commandCount, commandDocs, commandInfo, commandKeys, commandList } from './command-listing.ts';
import { configSubcommands } from './config-commands.ts';
import {
  type ConnectionCommand,
  command,
  container,
  type Session,
  slowCommand,
  type TransactionCommand,
  transactionCommand,
} from './connection-command.ts';
import { holdState, readNodes, releaseState } from './held-states.ts';
import { HISTORY_COMMANDS } from './history-commands.ts';
import { formatInfo } from './info.ts';
import { describeFinding } from './node-info.ts';
import type { Protocol } from './reply.ts';
import { factsOf } from './served-facts.ts';
import { statusOf } from './status.ts';

/** The Redis whose answers this port gives: clients choose by it what they may send. */
export const REDIS_VERSION = '7.0.15';

const ALL_KEYS: KeyPositions = { first: 1, last: -1, step: 1 };

export const CONNECTION_COMMANDS: readonly (ConnectionCommand | TransactionCommand)[] = [
  ...SAVE_COMMANDS,
  command('auth', -2, 'Authenticate the connection', auth),
  container('client', 'Look after this connection', clientSubcommands()),
  {
    ...command('command', -1, 'Describe the commands', describeCommands, 'server'),
    subcommands: [
      command('command|count', 2, 'Count the commands', ({ server }) => commandCount(server.commands)),
      command('command|docs', -2, 'Document commands', ({ server }, request) =>
        commandDocs(server.commands, textsFrom(request, 2)),
      ),
      command('command|getkeys', -4, 'Tell which arguments of a command are keys', ({ server }, request) =>
        commandKeys((part) => server.find(part), request),
      ),
      command('command|info', -2, 'Describe commands', ({ server }, request) =>
        commandInfo(server.commands, textsFrom(request, 2)),
      ),
      command('command|list', -2, 'List the commands', ({ server }) => commandList(server.commands)),
    ],
  },
  container('config', 'Read and set parameters', configSubcommands(), 'server'),
  command('echo', 2, 'Answer with the argument', (_, request) => request.argument(1)),
  command('eval', -3, 'Refused: there are no scripts', refuseScripts, 'scripting'),
  command('evalsha', -3, 'Refused: there are no scripts', refuseScripts, 'scripting'),
  container('function', 'There are no functions', [
    command('function|flush', -2, 'Forget the functions, of which there are none', () => OK, 'scripting'),
    command('function|list', -2, 'List the functions, of which there are none', () => [], 'scripting'),
    command('function|load', -3, 'Refused: there are no functions', refuseScripts, 'scripting'),
  ]),
  command('hello', -1, 'Choose the protocol', hello),
  command(
    'info',
    -1,
    'Report on the server',
    (session, request) => new VerbatimText(formatInfo(session.server.info(), textsFrom(request, 1))),
    'server',
  ),
  command('lolwut', -1, 'Tell the version', () => new VerbatimText(`Tidemark, as Redis ${REDIS_VERSION}\n`)),
  command('ping', -1, 'Answer', ping),
  command('quit', -1, 'Close the connection', quit),
  command('reset', 1, 'Make the connection as new', reset),
  container('script', 'There are no scripts', [
    command('script|exists', -3, 'Tell which scripts there are: none', noScripts, 'scripting'),
    command('script|flush', -2, 'Forget the scripts, of which there are none', () => OK, 'scripting'),
    command('script|load', 3, 'Refused: there are no scripts', refuseScripts, 'scripting'),
  ]),
  command('select', 2, 'Choose the database, of which there is one', select),
  slowCommand('shutdown', -1, 'Refused: a signal stops the server', refuseShutdown),
  command('swapdb', 3, 'Exchange two databases, of which there is one', swapDatabases, 'server'),
  container('tidemark', 'What Tidemark does and Redis does not', [
    ...CHECKPOINT_COMMANDS,
    ...HISTORY_COMMANDS,
    transactionCommand('tidemark|atomic', 2, 'Run the queued commands, all of them or none'),
    slowCommand('tidemark|hold', 2, 'Hold the state as it is now, for TIDEMARK NODES', holdState),
    slowCommand('tidemark|nodes', -5, 'Tell nodes and values of a held state', readNodes),
    command('tidemark|release', 3, 'Let go of a held state', releaseState, 'server'),
    slowCommand('tidemark|scrub', 2, 'Read everything on the disk again, and tell what is damaged', scrub),
    command('tidemark|status', 2, 'Tell how the node is', status, 'tidemark'),
    slowCommand('tidemark|sync', 2, 'Answer when everything answered before is on disk', sync),
    ...TIDEMARK_STATE_SUBCOMMANDS,
  ]),
  command('time', 1, 'Tell the time', time, 'server'),
  command('wait', 3, 'Wait for replicas, of which there are none', wait),
  transactionCommand('discard', 1, 'Forget the queued commands'),
  transactionCommand('exec', 1, 'Run the queued commands'),
  transactionCommand('multi', 1, 'Begin to queue commands'),
  transactionCommand('unwatch', 1, 'Watch no keys any more'),
  {
    ...transactionCommand('watch', -2, 'Run the next EXEC only if these keys stay as they are'),
    keys: ALL_KEYS,
  },
];

function describeCommands({ server }: Session, request: Request): ReplyValue {
  if (request.count > 1) throw unknownSubcommand('command', request);
  return commandInfo(server.commands, []);
}

function auth(session: Session, request: Request): ReplyValue {
  if (request.count > 3) throw syntaxError();
  if (request.count === 2 && session.server.isPassword === null) {
    throw new Rejection(
      'ERR AUTH <password> called without any password configured for the default user. ' +
        'Are you sure your configuration is correct?',
    );
  }
  const user = request.count === 3 ? request.text(1) : DEFAULT_USER;
  requirePassword(session, user, request.argument(request.count - 1));
  session.isAuthenticated = true;
  return OK;
}

/** Without a password any word will do, as for Redis's user without one. */
function requirePassword({ server }: Session, user: string, word: Uint8Array): void {
  if (user === DEFAULT_USER && (server.isPassword === null || server.isPassword(word))) return;
  throw new Rejection('WRONGPASS invalid username-password pair or user is disabled.');
}

/** HELLO [protocol [AUTH user password] [SETNAME name]]. Nothing changes unless all of it is right. */
function hello(session: Session, request: Request): ReplyValue {
  let protocol = session.protocol;
  if (request.count > 1) protocol = protocolAt(request, 1);
  let name: string | null = null;
  let { isAuthenticated } = session;
  for (let at = 2; at < request.count; at++) {
    if (request.isWord(at, 'auth') && at + 2 < request.count) {
      requirePassword(session, request.text(at + 1), request.argument(at + 2));
      isAuthenticated = true;
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
  if (!isAuthenticated) {
    throw new Rejection(
      'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> ' +
        'AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol ' +
        'version at the same time',
    );
  }
  session.isAuthenticated = isAuthenticated;
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
  session.isAuthenticated = session.server.isPassword === null;
  return 'RESET';
}

function select(_: Session, request: Request): ReplyValue {
  const bytes = request.argument(1);
  const database = parseInteger(bytes, 0, bytes.length);
  if (database === null) throw notAnInteger();
  if (database !== 0) throw new Rejection('ERR DB index is out of range');
  return OK;
}

function swapDatabases(_: Session, request: Request): ReplyValue {
  for (const at of [1, 2]) {
    const bytes = request.argument(at);
    const database = parseInteger(bytes, 0, bytes.length);
    if (database === null) throw new Rejection(`ERR invalid ${at === 1 ? 'first' : 'second'} DB index`);
    if (database !== 0) throw new Rejection('ERR DB index is out of range');
  }
  return OK;
}

function time({ server }: Session): ReplyValue {
  const now = server.now();
  const seconds = Math.floor(now / 1000);
  return [bulk(String(seconds)), bulk(String(Math.floor((now - seconds * 1000) * 1000)))];
}

/** How many replicas have the writes before it: there are none. */
function wait(_: Session, request: Request): ReplyValue {
  for (const at of [1, 2]) {
    const bytes = request.argument(at);
    const number = parseInteger(bytes, 0, bytes.length);
    if (number === null)
      throw at === 1 ? notAnInteger() : new Rejection('ERR timeout is not an integer or out of range');
    if (at === 2 && number < 0) throw new Rejection('ERR timeout is negative');
  }
  return 0;
}

function refuseShutdown(): ReplyValue {
  throw new Rejection('ERR clients do not stop this server: send its process SIGTERM');
}

function refuseScripts(): ReplyValue {
  throw new Rejection(
    'ERR this server runs no scripts and no functions: MULTI and EXEC, or TIDEMARK ATOMIC, make several ' +
      'commands one',
  );
}

function noScripts(_: Session, request: Request): ReplyValue {
  return Array.from({ length: request.count - 2 }, () => 0);
}

function status({ server }: Session): ReplyValue {
  return factsOf(statusOf(server.info()));
}

/** TIDEMARK SCRUB: may take long, and other clients are served meanwhile. */
async function scrub({ server }: Session): Promise<ReplyValue> {
  if (server.log === null) throw new Rejection('ERR this server has nothing on a disk to read');
  const { bytes, tookMs, findings } = await server.log.scrub();
  return new Map<ReplyValue, ReplyValue>([
    [bulk('bytes'), bytes],
    [bulk('took_ms'), Math.round(tookMs)],
    [bulk('findings'), findings.map((finding) => bulk(describeFinding(finding)))],
  ]);
}

/** TIDEMARK SYNC: needed with `buffered` durability only; with `synced` an answer says as much. */
async function sync({ server }: Session): Promise<ReplyValue> {
  if (server.log === null) throw new Rejection('ERR this server has no log to sync');
  await server.log.sync();
  return OK;
}

function textsFrom(request: Request, first: number): string[] {
  return Array.from({ length: Math.max(request.count - first, 0) }, (_, at) => request.text(first + at));
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
