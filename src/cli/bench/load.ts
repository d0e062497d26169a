/**
 * Load on a Redis port: SET or GET over many connections, each with a fixed number of commands at a time, for
 * a fixed time. Replies are counted by their bytes, which are known before: so that the load costs little of
 * the processor that it shares with the server.
 */

import { connect, type Socket } from 'node:net';
import { TidemarkError } from '../../base/errors.ts';
import { encodeRequest } from '../../keyvalue/request.ts';
import type { NodeAddress } from '../node-client.ts';
import { Latencies, type LatencySummary } from './latencies.ts';

export interface Load {
  readonly address: NodeAddress;
  readonly command: 'SET' | 'GET';
  readonly clients: number;
  /** Commands that a client sends at once; the next when all are answered. */
  readonly depth: number;
  readonly valueBytes: number;
  readonly keys: BenchKeys;
  /** Ends by time, or when every key was written once. */
  readonly until: { readonly seconds: number } | 'every-key';
  readonly signal: AbortSignal;
}

/** Keys of equal length, so that a request is written by changing digits. */
export interface BenchKeys {
  readonly prefix: string;
  readonly count: number;
}

export interface LoadResult extends LatencySummary {
  readonly requests: number;
  readonly perSecond: number;
}

const KEY_DIGITS = 9;

export function keyAt({ prefix }: BenchKeys, at: number): string {
  return prefix + String(at).padStart(KEY_DIGITS, '0');
}

/** @throws TidemarkError TIDEMARK_REFUSED when the node refuses a command or hangs up. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const began = performance.now();
  const run: Run = {
    load,
    latencies: new Latencies(),
    endsAt: load.until === 'every-key' ? Number.POSITIVE_INFINITY : began + 1000 * load.until.seconds,
    taken: 0,
    requests: 0,
  };
  const clients = Array.from({ length: load.clients }, () => new Client(run));
  try {
    await Promise.all(clients.map((client) => client.ended));
  } finally {
    for (const client of clients) client.stop();
  }
  const seconds = (performance.now() - began) / 1000;
  return { requests: run.requests, perSecond: run.requests / seconds, ...run.latencies.summary() };
}

/** What the clients share. */
interface Run {
  readonly load: Load;
  readonly latencies: Latencies;
  readonly endsAt: number;
  /** Commands sent, and answered. */
  taken: number;
  requests: number;
}

class Client {
  readonly ended: Promise<void>;
  readonly #run: Run;
  readonly #socket: Socket;
  readonly #template: Template;
  #sent = 0;
  #awaitedBytes = 0;
  #sentAt = 0;
  #end: (error: TidemarkError | null) => void = () => undefined;

  constructor(run: Run) {
    this.#run = run;
    this.#template = templateOf(run.load);
    const { host, port, password } = run.load.address;
    this.ended = new Promise((resolve, reject) => {
      this.#end = (error) => (error === null ? resolve() : reject(error));
    });
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.on('connect', () => {
      if (password === null) this.#send();
      else this.#authenticate(password);
    });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', () => undefined); // `close` follows.
    this.#socket.on('close', () => this.#end(refused('the node closed a connection')));
  }

  stop(): void {
    this.#socket.destroy();
  }

  #authenticate(password: string): void {
    this.#awaitedBytes = OK_BYTES;
    this.#socket.write(encodeRequest(['AUTH', 'default', password]));
  }

  #send(): void {
    const { load, endsAt } = this.#run;
    const isOver = load.signal.aborted || performance.now() >= endsAt;
    const left = load.until === 'every-key' ? load.keys.count - this.#run.taken : load.depth;
    this.#sent = isOver ? 0 : Math.min(load.depth, left);
    if (this.#sent === 0) {
      this.#end(null);
      return;
    }
    const { request, keyOffset, replyBytes } = this.#template;
    const output = Buffer.allocUnsafe(this.#sent * request.length);
    for (let at = 0; at < this.#sent; at++) {
      output.set(request, at * request.length);
      output.write(this.#nextKey(), at * request.length + keyOffset, 'latin1');
    }
    this.#awaitedBytes = this.#sent * replyBytes;
    this.#sentAt = performance.now();
    this.#socket.write(output);
  }

  /** At random; each once, in order, while all are written. */
  #nextKey(): string {
    const { load } = this.#run;
    const next = this.#run.taken++;
    return keyAt(load.keys, load.until === 'every-key' ? next : Math.floor(Math.random() * load.keys.count));
  }

  #receive(chunk: Buffer): void {
    // No value has a minus in it: one begins an error, or says that a key is gone.
    if (chunk.includes(MINUS)) {
      const text = chunk.toString('latin1', chunk.indexOf(MINUS)).split('\r\n')[0] ?? '';
      this.#end(
        refused(text === '-1' ? 'a key is gone that was written before' : `the node answers: ${text}`),
      );
      return;
    }
    this.#awaitedBytes -= chunk.length;
    if (this.#awaitedBytes > 0) return;
    if (this.#sent > 0) {
      this.#run.latencies.record(performance.now() - this.#sentAt);
      this.#run.requests += this.#sent;
    }
    this.#send();
  }
}

const MINUS = '-'.charCodeAt(0);
const OK_BYTES = '+OK\r\n'.length;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

interface Template {
  readonly request: Uint8Array;
  /** Of the key in the request. */
  readonly keyOffset: number;
  /** Of one answer. */
  readonly replyBytes: number;
}

function templateOf({ command, keys, valueBytes }: Load): Template {
  const key = keyAt(keys, 0);
  const words = command === 'SET' ? [command, key, value(valueBytes)] : [command, key];
  const request = Buffer.from(encodeRequest(words));
  const bulkBytes = `$${valueBytes}\r\n`.length + valueBytes + '\r\n'.length;
  return {
    request,
    keyOffset: request.indexOf(key),
    replyBytes: command === 'SET' ? OK_BYTES : bulkBytes,
  };
}

/** Letters at random: a disk that compresses shall not look faster than it is. */
function value(bytes: number): string {
  return Array.from({ length: bytes }, () => LETTERS[Math.floor(Math.random() * LETTERS.length)]).join('');
}

function refused(message: string): TidemarkError {
  return new TidemarkError('TIDEMARK_REFUSED', message, { remedy: 'retry' });
}
