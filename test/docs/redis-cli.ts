/**
 * What the documents need of `redis-cli`, for machines without it: one command, behind `--raw` or `--no-raw`,
 * `-h` and `-p`, over a connection of its own.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { encodeRequest } from '../../src/keyvalue/request.ts';
import { replyEnd } from '../support/port.ts';
import { printReply } from './redis-reply.ts';

const { values, tokens } = parseArgs({
  options: {
    host: { type: 'string', short: 'h', default: '127.0.0.1' },
    port: { type: 'string', short: 'p', default: '6379' },
    raw: { type: 'boolean' },
    'no-raw': { type: 'boolean' },
  },
  allowPositionals: true,
  tokens: true,
  strict: false,
});
const first = tokens.find(({ kind }) => kind === 'positional');
if (first === undefined) throw new Error('redis-cli: which command?');
const socket = connect(Number(values.port), String(values.host));
socket.setEncoding('latin1').write(encodeRequest(process.argv.slice(2 + first.index)));
let reply = '';
while (replyEnd(reply, 0) === null) reply += String((await once(socket, 'data'))[0]);
socket.destroy();
process.stdout.write(`${printReply(reply, values['no-raw'] === true ? 'terminal' : 'raw')}\n`);
