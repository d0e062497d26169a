/** The clients of a crash test: writers that know what they were promised, and a reader that remembers. */

import { ErrorReply, type Reply, RespClient } from '../../src/cli/resp-client.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import { ClientModel, COUNTER_SUFFIX, type Command, numberOf, requestOf, Violation } from './model.ts';

const SET_KEYS = 8;
const PAIRS = 2;

/** How a writer behaves in one round. */
export interface Pace {
  /** Requests written at once; twice as many may be unanswered. */
  readonly depth: number;
  /** Longest pause between two writes, in milliseconds. */
  readonly thinkMsMax: number;
}

export class Writer {
  readonly model = new ClientModel();
  readonly keys: readonly string[];
  readonly counterKey: string;
  readonly pairs: readonly (readonly [string, string])[];
  readonly #random: SeededRandom;
  readonly #setKeys: readonly string[];
  #number = 0;
  #isRunning = false;
  #pace: Pace = { depth: 1, thinkMsMax: 0 };
  #client: RespClient | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(name: string, random: SeededRandom) {
    this.#random = random;
    this.counterKey = name + COUNTER_SUFFIX;
    this.#setKeys = Array.from({ length: SET_KEYS }, (_, at) => `${name}:${at}`);
    this.pairs = Array.from({ length: PAIRS }, (_, at) => [`${name}:left${at}`, `${name}:right${at}`]);
    this.keys = [this.counterKey, ...this.#setKeys, ...this.pairs.flat()];
  }

  /**
   * Writes until the connection ends; then resolves.
   * @param isStopping Whether the server was asked to stop, so that it may refuse.
   */
  async run(port: number, pace: Pace, isStopping: () => boolean): Promise<void> {
    this.#pace = pace;
    this.#isRunning = true;
    const onReply = (reply: Reply): void => this.#receive(reply, isStopping);
    const error = await new Promise<Error | null>((onEnd) => {
      this.#client = new RespClient({ port, onReply, onEnd });
      this.#write();
    });
    this.#isRunning = false;
    clearTimeout(this.#timer ?? undefined);
    if (error !== null) throw error;
  }

  /** Holds its peace until `resume`; what is unanswered is still waited for. */
  pause(): void {
    this.#isRunning = false;
  }

  resume(): void {
    this.#isRunning = true;
    this.#write();
  }

  #write(): void {
    const { depth } = this.#pace;
    this.#timer = null;
    if (!this.#isRunning || this.model.unansweredCount > depth) return;
    const commands = Array.from({ length: depth }, () => this.#draw());
    for (const command of commands) this.model.sent(command);
    this.#client?.send(commands.map(requestOf));
  }

  #receive(reply: Reply, isStopping: () => boolean): void {
    if (!(reply instanceof ErrorReply)) this.model.answered(reply);
    else if (isStopping() && reply.text.includes('TIDEMARK_NOT_OPEN')) this.#refuse();
    else throw new Violation('answer', `refused: ${reply.text}`);
    if (this.model.unansweredCount > this.#pace.depth || this.#timer !== null) return;
    const thinkMs = this.#random.below(this.#pace.thinkMsMax + 1);
    if (thinkMs > 0) this.#timer = setTimeout(() => this.#write(), thinkMs);
    else this.#write();
  }

  #refuse(): void {
    this.model.refused();
    this.#isRunning = false;
  }

  #draw(): Command {
    const random = this.#random;
    const dice = random.below(20);
    if (dice < 7) return { kind: 'increment', key: this.counterKey };
    if (dice < 11) return { kind: 'set-pair', keys: random.pick(this.pairs), value: this.#value() };
    const key = random.pick(this.#setKeys);
    if (dice < 18) return { kind: 'set', key, value: this.#value() };
    return dice === 18 ? { kind: 'delete', key } : { kind: 'get', key };
  }

  /** The next number and padding that follows from it: mostly short, now and then beyond a small segment. */
  #value(): string {
    const number = ++this.#number;
    const dice = this.#random.below(2000);
    const lengthMax = dice === 0 ? 400_000 : dice < 10 ? 20_000 : dice < 200 ? 2_000 : 60;
    return `${number}:${String.fromCharCode(97 + (number % 26)).repeat(this.#random.below(lengthMax))}`;
  }
}

/** Reads what writers wrote. What it has seen once must never be taken back, not even by a crash. */
export class Reader {
  readonly #keys: readonly string[];
  readonly #pairs: readonly (readonly [string, string])[];
  readonly #seen = new Map<string, number>();

  constructor(writers: readonly Writer[]) {
    this.#pairs = writers.flatMap((writer) => writer.pairs);
    this.#keys = [...writers.map((writer) => writer.counterKey), ...this.#pairs.flat()];
  }

  /** Reads every `everyMs` milliseconds until the connection ends. */
  async run(port: number, everyMs: number): Promise<void> {
    let timer: NodeJS.Timeout | null = null;
    const error = await new Promise<Error | null>((onEnd) => {
      const ask = (): void => client.send([['MGET', ...this.#keys]]);
      const onReply = (reply: Reply): void => {
        if (reply instanceof ErrorReply) return; // The server is stopping; it tells the writers, too.
        const values = reply as readonly (string | null)[];
        this.check(new Map(this.#keys.map((key, at) => [key, values[at]!])));
        timer = setTimeout(ask, everyMs);
      };
      const client = new RespClient({ port, onReply, onEnd });
      ask();
    });
    clearTimeout(timer ?? undefined);
    if (error !== null) throw error;
  }

  /** Holds values that were read at one moment against all that was read before. */
  check(values: ReadonlyMap<string, string | null>): void {
    for (const [one, other] of this.#pairs) {
      if (values.get(one) !== values.get(other)) throw new Violation('torn', `${one} and ${other} differ`);
    }
    for (const key of this.#keys) {
      const number = numberOf(values.get(key));
      const seen = this.#seen.get(key) ?? 0;
      if (number < seen) throw new Violation('taken-back', `${key} was seen at ${seen}, is now ${number}`);
      this.#seen.set(key, number);
    }
  }
}
