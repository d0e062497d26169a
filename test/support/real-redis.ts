/**
 * A real redis-server on a socket file in a scratch directory, to hold our answers against; null without one.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { replyEnd } from './port.ts';

const SERVER = '/usr/bin/redis-server';
const START_WAIT_MS = 5_000;

export class RealRedis {
  readonly #process: ChildProcess;
  readonly #dir: string;
  readonly #socket: Socket;
  #received = '';
  #onReceived: () => void = () => {};

  /** Null where Redis 7 is not installed. */
  static async start(): Promise<RealRedis | null> {
    if (!existsSync(SERVER)) return null;
    const dir = mkdtempSync(join(tmpdir(), 'tidemark-redis-'));
    const path = join(dir, 'socket');
    const child = spawn(SERVER, ['--port', '0', '--unixsocket', path, '--save', '', '--dir', dir], {
      stdio: 'ignore',
    });
    for (let waitedMs = 0; waitedMs < START_WAIT_MS && !existsSync(path); waitedMs += 20) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const socket = connect(path);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RealRedis(child, dir, socket);
  }

  private constructor(child: ChildProcess, dir: string, socket: Socket) {
    this.#process = child;
    this.#dir = dir;
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text;
      this.#onReceived();
    });
  }

  /** The bytes of the reply, as latin1. */
  async ask(frame: Uint8Array): Promise<string> {
    this.#received = '';
    const whole = new Promise<void>((resolve) => {
      this.#onReceived = () => {
        if (replyEnd(this.#received, 0) === this.#received.length) resolve();
      };
    });
    this.#socket.write(frame);
    await whole;
    return this.#received;
  }

  async stop(): Promise<void> {
    this.#socket.destroy();
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
    rmSync(this.#dir, { recursive: true });
  }
}
