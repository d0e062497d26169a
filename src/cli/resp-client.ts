/**
 * A client of the Redis port that hides nothing: what is written when, and which reply came, are the caller's
 * business. Replies are read whole; a connection that ends leaves the rest unanswered.
 */

import { connect, type Socket } from 'node:net';
import { encodeRequest } from '../keyvalue/request.ts';

export type Reply = string | number | null | ErrorReply | readonly Reply[];

/** An error as the server answered it. */
export class ErrorReply {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A reply that is larger than this, and not yet whole, is none of a node. */
const REPLY_BYTES_MAX = 256 * 1024 * 1024;

export interface RespClientInit {
  readonly host?: string;
  readonly port: number;
  /** Called with each reply, in order. */
  readonly onReply: (reply: Reply) => void;
  /** Called once, whoever ended it; with what `onReply` threw, if that was the reason. */
  readonly onEnd: (error: Error | null) => void;
}

export class RespClient {
  readonly #socket: Socket;
  readonly #init: RespClientInit;
  #input: Buffer = Buffer.alloc(0);
  #error: Error | null = null;

  /** Connects; what is sent meanwhile waits. A connection that fails has ended. */
  constructor(init: RespClientInit) {
    this.#init = init;
    this.#socket = connect({ host: init.host ?? '127.0.0.1', port: init.port, noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', () => undefined); // `close` follows, and that is all there is to know.
    this.#socket.on('close', () => init.onEnd(this.#error));
  }

  /** Writes requests, all in one piece. */
  send(requests: readonly (readonly (string | Uint8Array)[])[]): void {
    this.#socket.write(Buffer.concat(requests.map((words) => encodeRequest(words))));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    let at = 0;
    try {
      for (let step = parseReply(this.#input, at); step !== null; step = parseReply(this.#input, at)) {
        at = step.end;
        this.#init.onReply(step.reply);
      }
      this.#input = this.#input.subarray(at);
      if (this.#input.length > REPLY_BYTES_MAX) throw new Error('a reply does not end');
    } catch (error) {
      this.#error = error as Error;
      this.#socket.destroy();
    }
  }
}

/** Sends one request over a connection of its own. Rejects when that ends without a reply. */
export function askOnce(port: number, request: readonly string[], host = '127.0.0.1'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const client = new RespClient({
      host,
      port,
      onReply(reply) {
        resolve(reply);
        client.destroy();
      },
      onEnd: (error) => reject(error ?? new Error(`no reply to ${request[0]}`)),
    });
    client.send([request]);
  });
}

/** The reply that starts at `at` and where it ends; null while it is not all there. */
function parseReply(input: Buffer, at: number): { reply: Reply; end: number } | null {
  const lineEnd = input.indexOf('\r\n', at);
  if (lineEnd === -1) return null;
  const line = input.toString('latin1', at + 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(input[at]!)) {
    case '+':
      return { reply: line, end };
    case '-':
      return { reply: new ErrorReply(line), end };
    case ':':
      return { reply: Number(line), end };
    case '$':
      return parseBulk(input, lengthOf(line), end);
    case '*':
      return parseArray(input, lengthOf(line), end);
    default:
      throw new Error(`not a reply: ${input.toString('latin1', at, Math.min(lineEnd, at + 40))}`);
  }
}

/** Of a bulk string or an array; -1 for none. Any other below 0 would lead back, and round for ever. */
function lengthOf(line: string): number {
  if (!/^(-1|\d{1,9})$/.test(line)) throw new Error(`not a length: ${line.slice(0, 40)}`);
  return Number(line);
}

function parseBulk(input: Buffer, length: number, start: number): { reply: Reply; end: number } | null {
  if (length === -1) return { reply: null, end: start };
  const end = start + length;
  if (input.length < end + 2) return null;
  return { reply: input.toString('latin1', start, end), end: end + 2 };
}

function parseArray(input: Buffer, count: number, start: number): { reply: Reply; end: number } | null {
  const items: Reply[] = [];
  let end = start;
  for (let item = 0; item < count; item++) {
    const step = parseReply(input, end);
    if (step === null) return null;
    items.push(step.reply);
    end = step.end;
  }
  return { reply: items, end };
}
