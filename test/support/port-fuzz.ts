/**
 * Bytes that no client should send, at a real port: broken frames, right frames with wrong words, right ones
 * cut anywhere. After each client the server must still answer another one, and hold no more memory than
 * before.
 */

import { ok, strictEqual } from 'node:assert';
import { KEY_VALUE_COMMANDS } from '../../src/keyvalue/commands.ts';
import { encodeRequest } from '../../src/keyvalue/request.ts';
import { CONNECTION_COMMANDS } from '../../src/server/connection-commands.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { withPort } from './port.ts';
import { randomCommand } from './redis-stream.ts';

/** Inputs of one client, unless it is closed before. */
const INPUTS_A_CLIENT = 4;

/** What the process may hold more at the end than after the first inputs, for any number of them. */
const GROWTH_BYTES_MAX = 256 * 1024 * 1024;

/** Small ones, so that a checkpoint frees nearly all of the log. */
const SEGMENT_BYTES = 1024 * 1024;

/** Everything is in memory: what were kept of checkpoints and log for its age would be what grows. */
const KEPT_FOR_NO_AGE = { checkpointAgeMs: 0, logAgeMs: 0 };

const COMMANDS = [...KEY_VALUE_COMMANDS, ...CONNECTION_COMMANDS];
const NAMES = COMMANDS.flatMap(({ name, subcommands = [] }) => [
  [name],
  ...subcommands.map((each) => each.name.split('|')),
]).filter(([name]) => name !== 'save');

const WORDS = [
  '',
  '0',
  '-1',
  '1',
  '9223372036854775807',
  '-9223372036854775808',
  '99999999999999999999',
  'x',
  '*',
  '[a-',
  '\0',
  'NX',
  'EX',
  'GET',
  'MATCH',
  'COUNT',
  'LIMIT',
  'WITHVALUES',
  'IDX',
  'nan',
  'inf',
  '1e400',
  '0x1p3',
  'k0',
  'k1',
  'k2',
  'each',
  'all',
  'tidemark.exec',
  'tidemark.expire',
  'session',
  'é',
  '\r\n',
  '$5',
];

export interface FuzzTally {
  inputs: number;
  clients: number;
  closed: number;
}

/** @param inputs How many to send. Throws at the first that goes wrong. */
export async function fuzzPort(inputs: number, seed: number): Promise<FuzzTally> {
  const random = new SeededRandom(seed);
  const tally: FuzzTally = { inputs: 0, clients: 0, closed: 0 };
  await withPort(
    async (port) => {
      port.connect(); // CLIENT KILL ID 1 may hit this one.
      const witness = port.connect();
      let heldBytes = 0;
      while (tally.inputs < inputs) {
        const client = port.connect();
        tally.clients++;
        for (let at = 0; at < INPUTS_A_CLIENT && !client.isClosed; at++, tally.inputs++) {
          client.send(badInput(random));
        }
        // Not GET: a client that was held back may go on, and delete what it likes.
        strictEqual(
          await witness.ask(encodeRequest(['SET', 'witness', 'here'])),
          '+OK\r\n',
          `input ${tally.inputs}`,
        );
        strictEqual(
          await witness.ask(encodeRequest(['ECHO', 'here'])),
          '$4\r\nhere\r\n',
          `input ${tally.inputs}`,
        );
        if (client.isClosed) tally.closed++;
        client.close();
        if (tally.clients % 500 !== 0) continue;
        // The log is in memory too: without a checkpoint now and then it would be what grows.
        strictEqual(await witness.ask(encodeRequest(['FLUSHALL'])), '+OK\r\n');
        await port.node.checkpoint();
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        heldBytes = heldBytes === 0 ? heapUsed + arrayBuffers : heldBytes;
        const grown = heapUsed + arrayBuffers - heldBytes;
        ok(grown < GROWTH_BYTES_MAX, `${grown} bytes more after ${tally.inputs} inputs`);
      }
    },
    { segmentBytes: SEGMENT_BYTES, checkpoint: KEPT_FOR_NO_AGE },
  );
  return tally;
}

function badInput(random: SeededRandom): Uint8Array {
  return random.pick([
    () => random.fill(Buffer.alloc(random.between(1, 64))),
    () => Buffer.from(`*${word(random)}\r\n$${word(random)}\r\n${word(random)}\r\n`, 'latin1'),
    () => cut(random, encodeRequest(words(random))),
    () => damage(random, encodeRequest(words(random))),
    () => encodeRequest(words(random)),
    () => encodeRequest(words(random)),
    () => encodeRequest(randomCommand(random).map((each) => (random.happens(0.2) ? word(random) : each))),
    () => Buffer.from(`${words(random).join(' ')}${random.pick(['\r\n', '\n', '', '"\n'])}`, 'latin1'),
    () => Buffer.concat(Array.from({ length: 5 }, () => encodeRequest(words(random)))),
  ])();
}

function words(random: SeededRandom): string[] {
  const [name, subcommand] = random.pick(NAMES);
  const rest = Array.from({ length: random.below(7) }, () => word(random));
  return subcommand === undefined ? [name!, ...rest] : [name!, subcommand, ...rest];
}

function word(random: SeededRandom): string {
  return random.pick(WORDS);
}

function cut(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, random.below(bytes.length) + 1);
}

function damage(random: SeededRandom, bytes: Uint8Array): Uint8Array {
  const damaged = Uint8Array.from(bytes);
  for (let flips = random.between(1, 4); flips > 0; flips--)
    damaged[random.below(damaged.length)] = random.below(256);
  return damaged;
}
