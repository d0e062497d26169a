/**
 * A running node as the verbs that compare states see it: a connection to its Redis port, states that it
 * holds, and changes of its records. What it says is not trusted: who reads a tree verifies it.
 */

import { TidemarkError } from '../base/errors.ts';
import type { TreePosition } from '../base/merkle/diff-states.ts';
import { toIndex } from '../base/positions.ts';
import { PATCH_CONFLICT, patchWords, type RecordChange } from '../keyvalue/patch.ts';
import { LEASE_MS, POSITIONS_MAX } from '../server/held-states.ts';
import { fieldsOf, type NodeAddress, refusal, unanswered } from './node-client.ts';
import { ErrorReply, type Reply, RespClient } from './resp-client.ts';
import type { ReadableState } from './state-target.ts';

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const ROOT = /^[0-9a-f]{64}$/;

/** A request that waits longer gets no answer any more, in milliseconds: the longest takes a root to make. */
const SILENT_MS_MAX = 120_000;

const ANOTHER_ADDRESS = 'name the address where it listens';

/** How often a held state is asked for something, read or not: its lease must not run out meanwhile. */
const KEEP_MS = LEASE_MS / 3;

export class RemoteNode {
  readonly name: string;
  readonly #address: NodeAddress;
  readonly #client: RespClient;
  readonly #keepMs: number;
  /** Whoever waits for a reply, in order. */
  readonly #waiting: Waiting[] = [];
  readonly #silentMsMax: number;
  /** Runs while somebody waits, from the last reply on. */
  #silence: NodeJS.Timeout | undefined;
  #ended: Error | null = null;

  constructor(address: NodeAddress, keepMs: number = KEEP_MS, silentMsMax: number = SILENT_MS_MAX) {
    this.name = `${address.host}:${address.port}`;
    this.#address = address;
    this.#keepMs = keepMs;
    this.#silentMsMax = silentMsMax;
    this.#client = new RespClient({
      ...address,
      onReply: (reply) => {
        this.#waiting.shift()?.resolve(reply);
        this.#awaitReply();
      },
      onEnd: (error) => this.#end(unanswered(address, error, ANOTHER_ADDRESS)),
    });
    // With a user's name it does for a node without a password, too.
    if (address.password !== null) this.#ask(['AUTH', 'default', address.password]).catch(() => undefined);
  }

  /** Holds its state as it is now. @throws TidemarkError TIDEMARK_REFUSED. */
  async hold(): Promise<ReadableState> {
    const fields = fieldsOf(await this.#answerTo(['TIDEMARK', 'HOLD']));
    const { id, root, keys, index, time, now, cluster, machine, version } = fields;
    const isWhole = [id, keys, index, time, now, version].every(isCount);
    if (!isWhole || !ROOT.test(String(root))) throw this.#unexpected('TIDEMARK HOLD');
    const number = String(id);
    const letGo = this.#keep(number);
    return {
      name: this.name,
      root: Buffer.from(String(root), 'hex'),
      keys: Number(keys),
      facts: {
        clusterId: String(cluster),
        machine: { name: String(machine), version: Number(version) },
        index: toIndex(Number(index)),
        time: Number(time),
      },
      now: Number(now),
      read: (wanted) => this.#read(number, wanted),
      close: async () => {
        letGo();
        // A connection that is gone lets the lease run out.
        if (this.#ended === null) await this.#ask(['TIDEMARK', 'RELEASE', number]).catch(() => undefined);
      },
    };
  }

  /** Changes records, all of them or, when one had changed meanwhile, none. */
  async patch(changes: readonly RecordChange[]): Promise<'done' | 'conflict'> {
    const reply = await this.#ask(patchWords(changes));
    if (!(reply instanceof ErrorReply)) return 'done';
    if (reply.text.startsWith(PATCH_CONFLICT)) return 'conflict';
    throw refusal(this.#address, reply.text);
  }

  close(): Promise<void> {
    this.#client.destroy();
    return Promise.resolve();
  }

  async #read(id: string, wanted: readonly TreePosition[]): Promise<readonly (Uint8Array | null)[]> {
    const words: (string | Uint8Array)[] = ['TIDEMARK', 'NODES', id];
    const asked = wanted.slice(0, POSITIONS_MAX);
    for (const position of asked)
      words.push(position.kind === 'node' ? String(position.level) : '-1', position.key);
    const reply = await this.#answerTo(words);
    const isPart = Array.isArray(reply) && reply.length > 0 && reply.length <= asked.length;
    if (!isPart) throw this.#unexpected('TIDEMARK NODES');
    return (reply as readonly Reply[]).map((item) => {
      if (item === null) return null;
      if (typeof item !== 'string') throw this.#unexpected('TIDEMARK NODES');
      return Buffer.from(item, 'latin1');
    });
  }

  /**
   * Renews the lease of a held state now and then: its other side may be slow, and so may whoever reads what
   * comes out. Returns what ends that.
   */
  #keep(id: string): () => void {
    const renew = (): void => {
      if (this.#ended !== null) return clearInterval(timer);
      this.#ask(['TIDEMARK', 'NODES', id, '-1', '']).catch(() => undefined); // Who reads it is told.
    };
    const timer = setInterval(renew, this.#keepMs).unref();
    return () => clearInterval(timer);
  }

  async #answerTo(words: readonly (string | Uint8Array)[]): Promise<Reply> {
    const reply = await this.#ask(words);
    if (reply instanceof ErrorReply) throw refusal(this.#address, reply.text);
    return reply;
  }

  #ask(words: readonly (string | Uint8Array)[]): Promise<Reply> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#waiting.length === 1) this.#awaitReply();
      this.#client.send([words]);
    });
  }

  /** Whoever accepts and says nothing is given up. */
  #awaitReply(): void {
    clearTimeout(this.#silence);
    if (this.#waiting.length === 0) return;
    this.#silence = setTimeout(() => {
      this.#end(this.#silent());
      this.#client.destroy();
    }, this.#silentMsMax);
  }

  #silent(): TidemarkError {
    const message = `${this.name} accepts, and did not answer for ${this.#silentMsMax} ms: is it a node?`;
    return new TidemarkError('TIDEMARK_REFUSED', message, { remedy: 'retry', facts: { node: this.name } });
  }

  #end(error: Error): void {
    this.#ended ??= error;
    clearTimeout(this.#silence);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #unexpected(request: string): TidemarkError {
    return new TidemarkError(
      'TIDEMARK_REFUSED',
      `${this.name} answers ${request} as no node of Tidemark does: is it another server, or version?`,
      { remedy: 'fix-call', facts: { node: this.name } },
    );
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
