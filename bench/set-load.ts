/**
 * Load on a Redis port: SET of random keys over many pipelined connections, as `redis-benchmark -t set -r`
 * does, for machines without it. It runs in a process of its own, so that it takes no time from what it
 * measures.
 *
 *     node dist/bench/set-load.js '{"port":6401,"clients":50,"depth":16,"requests":100000,…}'
 */

import { connect } from 'node:net';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { percentile } from './disk.ts';

export interface SetLoad {
  readonly port: number;
  readonly clients: number;
  /** Requests of one client written at once; the next when all are answered. */
  readonly depth: number;
  readonly requests: number;
  readonly valueBytes: number;
  /** Keys are drawn from so many. */
  readonly keys: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const OK_BYTES = '+OK\r\n'.length;
const KEY_DIGITS = 12;

/** Every so many-th latency is kept: enough for percentiles. */
const LATENCIES_KEPT_OF = 8;

export async function runSetLoad(load: SetLoad): Promise<LoadResult> {
  const random = new SeededRandom(load.port);
  const latencies: number[] = [];
  let left = load.requests;
  const began = performance.now();
  const takeTurn = (): number => {
    const turn = Math.min(load.depth, left);
    left -= turn;
    return turn;
  };
  await Promise.all(Array.from({ length: load.clients }, () => runClient(load, random, takeTurn, latencies)));
  const seconds = (performance.now() - began) / 1000;
  return {
    requestsPerSecond: load.requests / seconds,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
  };
}

/** One connection: writes `depth` requests, waits for as many answers, and again. */
function runClient(
  load: SetLoad,
  random: SeededRandom,
  takeTurn: () => number,
  latencies: number[],
): Promise<void> {
  const { request, keyOffset } = makeRequest(load.valueBytes);
  const output = Buffer.concat(Array.from({ length: load.depth }, () => request));
  return new Promise((resolve, reject) => {
    const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true });
    let awaitedBytes = 0;
    let turns = 0;
    let sentAt = 0;
    const write = (): void => {
      const turn = takeTurn();
      if (turn === 0) {
        socket.destroy();
        resolve();
        return;
      }
      for (let at = 0; at < turn; at++) {
        const key = String(random.below(load.keys)).padStart(KEY_DIGITS, '0');
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
      if (turns++ % LATENCIES_KEPT_OF === 0) latencies.push(performance.now() - sentAt);
      write();
    });
  });
}

function makeRequest(valueBytes: number): { request: Buffer; keyOffset: number } {
  const key = `key:${'0'.repeat(KEY_DIGITS)}`;
  const head = `*3\r\n$3\r\nSET\r\n$${key.length}\r\n`;
  const request = Buffer.from(`${head}${key}\r\n$${valueBytes}\r\n${'x'.repeat(valueBytes)}\r\n`, 'latin1');
  return { request, keyOffset: head.length + 'key:'.length };
}

if (process.argv[1] === import.meta.filename) {
  console.log(JSON.stringify(await runSetLoad(JSON.parse(process.argv[2] ?? '') as SetLoad)));
}
