/** CLIENT: what a client may know and set of its connection and of others. */

import { Rejection } from '../engine/machine.ts';
import { parseInteger } from '../keyvalue/integer.ts';
import { startOf, syntaxError } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue, VerbatimText } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import { type ConnectionCommand, command, type Session } from './connection-command.ts';

/** Longest name or library of a client, in bytes: each client keeps three, and CLIENT LIST shows all. */
export const CLIENT_WORD_BYTES_MAX = 256;

/** The one user there is; Redis's name for a client that never said AUTH. */
export const DEFAULT_USER = 'default';

export function clientSubcommands(): readonly ConnectionCommand[] {
  return [
    command('client|getname', 2, 'Tell the name of this connection', (session) =>
      session.name === '' ? null : bulk(session.name),
    ),
    command('client|id', 2, 'Tell the number of this connection', (session) => session.id),
    command(
      'client|info',
      2,
      'Describe this connection',
      (session) => new VerbatimText(`${describeSession(session)}\n`),
    ),
    command('client|kill', -3, 'Close connections', killClients),
    command('client|list', -2, 'Describe all connections', listClients),
    command('client|no-evict', 3, 'Changes nothing: no client is evicted', onOrOff),
    command('client|no-touch', 3, 'Changes nothing: no key is touched', onOrOff),
    command('client|setinfo', 4, 'Name the library of this connection', setLibrary),
    command('client|setname', 3, 'Name this connection', setName),
  ];
}

function setName(session: Session, request: Request): ReplyValue {
  session.name = clientNameAt(request, 2);
  return OK;
}

export function clientNameAt(request: Request, at: number): string {
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

function setLibrary(session: Session, request: Request): ReplyValue {
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

/** CLIENT LIST [TYPE type | ID id …]. */
function listClients(session: Session, request: Request): ReplyValue {
  let sessions = [...session.server.sessions];
  if (request.count > 3 && request.isWord(2, 'id')) {
    const ids = new Set(
      Array.from({ length: request.count - 3 }, (_, at) => idAt(request, at + 3, 'ERR Invalid client ID')),
    );
    sessions = sessions.filter(({ id }) => ids.has(id));
  } else if (request.count === 4 && request.isWord(2, 'type')) {
    const type = request.text(3).toLowerCase();
    if (!['normal', 'master', 'replica', 'slave', 'pubsub'].includes(type)) {
      throw new Rejection(`ERR Unknown client type '${startOf(request, 3, CLIENT_WORD_BYTES_MAX)}'`);
    }
    if (type !== 'normal') sessions = [];
  } else if (request.count > 2) {
    throw syntaxError();
  }
  return new VerbatimText(sessions.map((each) => `${describeSession(each)}\n`).join(''));
}

/** CLIENT KILL address, or CLIENT KILL with ID, ADDR, LADDR, USER, SKIPME: answers how many it closed. */
function killClients(session: Session, request: Request): ReplyValue {
  if (request.count === 3) {
    const found = [...session.server.sessions].find(({ remoteAddress }) => remoteAddress === request.text(2));
    if (found === undefined) throw new Rejection('ERR No such client');
    found.drop();
    return OK;
  }
  let isSelfSkipped = true;
  let found = [...session.server.sessions];
  for (let at = 2; at < request.count; at += 2) {
    if (at + 1 === request.count) throw syntaxError();
    const word = request.text(at + 1);
    const wanted = request.isWord(at, 'id') ? idAt(request, at + 1, KILL_ID_INVALID) : 0;
    if (wanted > 0) found = found.filter(({ id }) => id === wanted);
    else if (request.isWord(at, 'addr')) found = found.filter(({ remoteAddress }) => remoteAddress === word);
    else if (request.isWord(at, 'laddr')) found = found.filter(({ localAddress }) => localAddress === word);
    else if (request.isWord(at, 'user')) found = found.filter(() => word === DEFAULT_USER);
    else if (request.isWord(at, 'skipme') && /^(yes|no)$/i.test(word)) isSelfSkipped = /^yes$/i.test(word);
    else throw syntaxError();
  }
  let count = 0;
  for (const each of found) {
    if (each === session && isSelfSkipped) continue;
    if (each === session) each.quit();
    else each.drop();
    count++;
  }
  return count;
}

const KILL_ID_INVALID = 'ERR client-id should be greater than 0';

function idAt(request: Request, at: number, refusal: string): number {
  const id = parseInteger(request.bytes, request.argumentStart(at), request.argumentLength(at));
  if (typeof id !== 'number' || id < 1) throw new Rejection(refusal);
  return id;
}

function describeSession(session: Session): string {
  return (
    `id=${session.id} addr=${session.remoteAddress} laddr=${session.localAddress} name=${session.name} ` +
    `age=${session.ageSeconds} flags=N db=0 user=${DEFAULT_USER} ` +
    `lib-name=${session.libraryName} lib-ver=${session.libraryVersion} resp=${session.protocol}`
  );
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
