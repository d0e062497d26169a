/**
 * What the documents need of `redis-cli`, for machines without it: one command, behind `--no-raw`, `-h` and
 * `-p`, over a connection of its own.
 */

import { parseArgs } from 'node:util';
import { askOnce } from '../../src/cli/resp-client.ts';
import { formatReply, rawReply } from './redis-reply.ts';

const { values, tokens } = parseArgs({
  options: {
    host: { type: 'string', short: 'h', default: '127.0.0.1' },
    port: { type: 'string', short: 'p', default: '6379' },
    'no-raw': { type: 'boolean', default: false },
  },
  allowPositionals: true,
  tokens: true,
  strict: false,
});
const first = tokens.find(({ kind }) => kind === 'positional');
if (first === undefined) throw new Error('redis-cli: which command?');
const reply = await askOnce(Number(values.port), process.argv.slice(2 + first.index), String(values.host));
process.stdout.write(`${values['no-raw'] === true ? formatReply(reply) : rawReply(reply)}\n`);
