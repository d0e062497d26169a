/**
 * Load on a Redis port: SET over many pipelined connections, as `redis-benchmark -t set -r` does. It runs in
 * a process of its own, so that it takes no time from what it measures; SIGTERM ends it early.
 *
 *     node dist/bench/set-load.js '{"port":6401,"clients":50,"depth":16,"requests":100000,…}'
 */

import { connect } from 'node:net';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { percentile } from './percentile.ts';

export interface SetLoad {
  readonly port: number;
  readonly clients: number;
  /** Requests of one client written at once; the next when all are answered. */
  readonly depth: number;
  readonly requests: number;
  readonly valueBytes: number;
  /** Keys are drawn from so many. */
  readonly keys: number;
  /** Draws each key at random, or takes them in their order, each once. @default 'random' */
  readonly order?: 'random' | 'ascending';
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface SetLoadResult extends LoadResult {
  readonly requests: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

const OK_BYTES = '+OK\r\n'.length;
const KEY_DIGITS = 12;
const VALUE_SEED = 5;

export async function runSetLoad(load: SetLoad): Promise<SetLoadResult> {
  const random = new SeededRandom(load.port);
  const latencies: number[] = [];
  let left = load.requests;
  let taken = 0;
  const began = performance.now();
  process.once('SIGTERM', () => {
    left = 0;
  });
  const takeTurn = (): number => {
    const turn = Math.min(load.depth, left);
    left -= turn;
    taken += turn;
    return turn;
  };
  let nextKey = 0;
  const drawKey = (): number => (load.order === 'ascending' ? nextKey++ : random.below(load.keys));
  const pool: Pool = { load, drawKey, takeTurn, latencies };
  await Promise.all(Array.from({ length: load.clients }, () => runClient(pool)));
  const seconds = (performance.now() - began) / 1000;
  return {
    requests: taken,
    requestsPerSecond: taken / seconds,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    p999Ms: percentile(latencies, 99.9),
    maxMs: percentile(latencies, 100),
  };
}

/** What the clients share. */
interface Pool {
  readonly load: SetLoad;
  readonly drawKey: () => number;
  /** Requests to write next; 0 ends the client. */
  readonly takeTurn: () => number;
  readonly latencies: number[];
}

/** One connection: writes `depth` requests, waits for as many answers, and again. */
function runClient({ load, drawKey, takeTurn, latencies }: Pool): Promise<void> {
  const { request, keyOffset } = makeRequest(load.valueBytes);
  const output = Buffer.concat(Array.from({ length: load.depth }, () => request));
  return new Promise((resolve, reject) => {
    const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true });
    let awaitedBytes = 0;
    let sentAt = 0;
    const write = (): void => {
      const turn = takeTurn();
      if (turn === 0) {
        socket.destroy();
        resolve();
        return;
      }
      for (let at = 0; at < turn; at++) {
        const key = String(drawKey()).padStart(KEY_DIGITS, '0');
        output.write(key, at * request.length + keyOffset, 'latin1');
      }
      awaitedBytes = turn * OK_BYTES;
      sentAt = performance.now();
      // A copy, as the socket may hold on to it.
      socket.write(Buffer.from(output.subarray(0, turn * request.length)));
    };
    socket.on('connect', write);
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('-')) reject(new Error(`refused: ${chunk.toString('latin1', 0, 200)}`));
      awaitedBytes -= chunk.length;
      if (awaitedBytes > 0) return;
      latencies.push(performance.now() - sentAt);
      write();
    });
  });
}

function makeRequest(valueBytes: number): { request: Buffer; keyOffset: number } {
  const key = `key:${'0'.repeat(KEY_DIGITS)}`;
  const head = `*3\r\n$3\r\nSET\r\n$${key.length}\r\n`;
  // Bytes that cannot be compressed: Redis would, and then write less.
  const value = new SeededRandom(VALUE_SEED).fill(Buffer.alloc(valueBytes)).toString('latin1');
  const request = Buffer.from(`${head}${key}\r\n$${valueBytes}\r\n${value}\r\n`, 'latin1');
  return { request, keyOffset: head.length + 'key:'.length };
}

if (process.argv[1] === import.meta.filename) {
  console.log(JSON.stringify(await runSetLoad(JSON.parse(process.argv[2] ?? '') as SetLoad)));
}
