/** A server in a process of its own: started, listened to, signalled, waited for; never for ever. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NodeRecovery } from '../../src/node/node.ts';
import { before } from './deadline.ts';

const CHILD = fileURLToPath(new URL('./server-child.js', import.meta.url));

/** Longest time for a recovery or a clean stop, and for a killed process to be gone. */
const STEP_MS_MAX = 60_000;

/** What is kept of the server's words, in characters: the end of them tells why it stopped. */
const WORDS_MAX = 8_000;

export interface Listening {
  readonly port: number;
  readonly recovery: NodeRecovery;
}

export interface ServerOptions {
  readonly dir: string;
  /** Null takes the default. */
  readonly segmentBytes: number | null;
  readonly durability: 'synced' | 'buffered';
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ServerProcess {
  /** All modules are loaded, and nothing has been touched yet. */
  readonly loaded: Promise<void>;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #listening: Promise<Listening>;
  #words = '';

  static start(options: ServerOptions): ServerProcess {
    const { dir, segmentBytes, durability } = options;
    const size = segmentBytes === null ? [] : ['--segment-bytes', String(segmentBytes)];
    const args = ['--enable-source-maps', CHILD, 'start', '--dir', dir, '--port', '0', '--json'];
    args.push('--durability', durability, ...size);
    return new ServerProcess(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.exited = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
    child.stderr?.on('data', (chunk) => this.#hear(String(chunk)));
    let onLoaded: () => void = () => undefined;
    let onListening: (listening: Listening) => void = () => undefined;
    const loaded = new Promise<void>((resolve) => (onLoaded = resolve));
    const listening = new Promise<Listening>((resolve) => (onListening = resolve));
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const event = JSON.parse(line) as { event?: string };
        if (event.event === 'loaded') onLoaded();
        else if (event.event === 'listening') onListening(event as unknown as Listening);
        else this.#hear(`${line}\n`);
      });
    }
    this.loaded = Promise.race([loaded, this.exited.then(() => undefined)]);
    const ended = this.exited.then((exit) => {
      throw new Error(`the server ended before it listened: ${describeExit(exit)}\n${this.#words}`);
    });
    this.#listening = Promise.race([listening, ended]);
    this.#listening.catch(() => undefined); // Whoever kills a start does not ask for it.
  }

  /** What it said that was not an event. */
  get words(): string {
    return this.#words;
  }

  listening(): Promise<Listening> {
    return before(STEP_MS_MAX, this.#listening, () => `the server does not listen\n${this.#words}`);
  }

  signal(name: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  ended(): Promise<Exit> {
    return before(STEP_MS_MAX, this.exited, () => `the server does not end\n${this.#words}`);
  }

  /** Ends it by SIGKILL, and nothing else: one that ended by itself has failed. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    const exit = await this.ended();
    if (exit.signal !== 'SIGKILL') throw new Error(`the server ended by itself: ${describeExit(exit)}`);
  }

  #hear(words: string): void {
    this.#words = (this.#words + words).slice(-WORDS_MAX);
  }
}

export function describeExit({ code, signal }: Exit): string {
  return signal === null ? `exit code ${code}` : `killed by ${signal}`;
}
