/**
 * A key-value node whose whole past is on record: what its state was behind every entry, and behind every
 * command inside of one, found out by a model that applies the commands of the log one by one. A rewind is to
 * the model what it says, not what its entries carry: the content of the point, but for the sessions of now.
 */

import { strictEqual } from 'node:assert';
import { copyOf } from '../../src/base/bytes.ts';
import { defaultShape } from '../../src/base/merkle/shape.ts';
import type { Clock } from '../../src/base/time.ts';
import type { CheckpointOptions } from '../../src/checkpoint/checkpoint-options.ts';
import { EntryCommands } from '../../src/engine/entry.ts';
import { decodeRewind } from '../../src/engine/rewind-entry.ts';
import { keyValueMachine } from '../../src/keyvalue/machine.ts';
import { encodeRequest } from '../../src/keyvalue/request.ts';
import { keepSessions } from '../../src/keyvalue/sessions.ts';
import { readLog } from '../../src/log/read-log.ts';
import type { LogRecord } from '../../src/log/segment-reader.ts';
import { readStatus } from '../../src/log/status.ts';
import { open } from '../../src/node/open.ts';
import type { LiveState } from '../../src/state/live-state.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { newState, rootNow } from './live-states.ts';

export const DIR = 'data';

type Content = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

/** The state behind an entry, or behind so many commands of one. */
export interface RecordedPoint {
  readonly index: number;
  /** Null for all of them. */
  readonly commands: number | null;
  readonly time: number;
  readonly root: string;
}

/** A clock that a test moves. */
export type MovedClock = Clock & Pick<ManualClock, 'advance'>;

export type KeyValueNode = Awaited<ReturnType<RecordedPast['open']>>;

export class RecordedPast {
  readonly clock: MovedClock;
  readonly points: RecordedPoint[] = [];
  readonly #fs: FileSystem;
  readonly #random: SeededRandom;
  readonly #options: CheckpointOptions;
  readonly #contents = new Map<string, Content>();
  #state: LiveState | null = null;
  #last = 0;
  /** Commands of sessions that were refused: none, for a rewind leaves sessions as they are. */
  readonly sessionFailures: unknown[] = [];
  /** Of the last command of each session: whatever is rewound, they go on from it. */
  readonly #numbers = new Map<string, number>();

  constructor(
    fs: FileSystem,
    random: SeededRandom,
    options: CheckpointOptions = {},
    clock: MovedClock = new ManualClock(),
  ) {
    this.clock = clock;
    this.#fs = fs;
    this.#random = random;
    this.#options = options;
  }

  get doors() {
    return { fs: this.#fs, clock: this.clock, chance: new SeededRandom(this.#random.u32()) };
  }

  open(dir = DIR) {
    const { doors } = this;
    return open({ dir, log: { segmentBytes: 64 * 1024 }, checkpoint: this.#options, doors });
  }

  /** Random commands at once, which become an entry or two. */
  async write(node: KeyValueNode): Promise<void> {
    const random = this.#random;
    const answers = Array.from({ length: random.between(1, 6) }, () => this.#command(node));
    await Promise.all(answers.map((answer) => answer.catch(() => undefined)));
    this.clock.advance(random.pick([0, 0, 3, 40]));
    if (random.happens(0.3)) await node.query('DBSIZE'); // Before a read, what is due expires.
    await this.note();
  }

  /** Puts what the log has and the model has not on record. */
  async note(): Promise<void> {
    const { status } = await readStatus(this.#fs, DIR);
    this.#state ??= this.#begin(status.clusterId);
    const entries: LogRecord[] = [];
    await readLog(this.#fs, DIR, status, {
      record(record) {
        entries.push({ ...record, body: copyOf(record.body) });
      },
    });
    for (const entry of entries) if (entry.type !== 'mark' && entry.index > this.#last) this.#apply(entry);
  }

  #command(node: KeyValueNode): Promise<unknown> {
    const random = this.#random;
    const key = `k${random.below(60)}`;
    switch (random.below(10)) {
      case 0:
        return node.submit('DEL', key);
      case 1:
        return node.submit('SET', key, 'short', 'PX', random.between(1, 200));
      case 2:
        return node.submit('SET', key, new Uint8Array(random.pick([1500, 9000])).fill(random.below(256)));
      case 3:
        return node.submit('INCR', key); // Refused where it is text.
      case 4:
        return node.submit('HSET', `h${random.below(3)}`, key, random.below(1000));
      case 5:
        return node.submit('EXPIRE', key, random.between(0, 1));
      case 6:
        return this.#inSession(node, `s${random.below(5)}`, key);
      default:
        return node.submit('SET', key, `value ${random.below(100)}`);
    }
  }

  #inSession(node: KeyValueNode, id: string, key: string): Promise<unknown> {
    const number = (this.#numbers.get(id) ?? 0) + 1;
    this.#numbers.set(id, number);
    const command = encodeRequest(['TIDEMARK', 'SESSION', id, String(number), 'SET', key, id]);
    return new Promise<void>((resolve) => {
      const fail = (error: unknown): void => void this.sessionFailures.push(error);
      node.ordering.enqueue(command, { settle: () => resolve(), fail: (error) => resolve(fail(error)) });
    });
  }

  #begin(clusterId: string): LiveState {
    const state = newState(defaultShape(Buffer.from(clusterId, 'hex')));
    this.#record(state, { index: 0, commands: null, time: 0 });
    return state;
  }

  #apply(entry: LogRecord): void {
    const { index, time } = entry;
    const state = this.#state!;
    strictEqual(index, this.#last + 1);
    this.#last = index;
    if (entry.type === 'rewind') this.#rewind(state, entry);
    else {
      const commands = new EntryCommands(entry.body);
      for (let command = commands.next(); command !== null; command = commands.next()) {
        state.begin();
        try {
          keyValueMachine.apply(state, command, { index, time });
          state.commit();
        } catch {
          state.rollback();
        }
        this.#record(state, { index, commands: commands.taken, time });
      }
    }
    this.#record(state, { index, commands: null, time });
  }

  #rewind(state: LiveState, { body }: LogRecord): void {
    const { target, isLast } = decodeRewind(body);
    if (!isLast) return;
    const now = newState(defaultShape(new Uint8Array(16)));
    replaceContent(now, contentOf(state));
    replaceContent(state, this.#contents.get(nameOf(target.index, target.commands || null))!);
    state.begin();
    keepSessions(state, now);
    state.commit();
  }

  #record(state: LiveState, point: Omit<RecordedPoint, 'root'>): void {
    this.points.push({ ...point, root: rootNow(state) });
    this.#contents.set(nameOf(point.index, point.commands), contentOf(state));
  }
}

export function nameOf(index: number, commands: number | null): string {
  return commands === null ? String(index) : `${index}.${commands}`;
}

function contentOf(state: LiveState): Content {
  return [...state.entries()].map(({ key, value }) => [copyOf(key), copyOf(value)] as const);
}

function replaceContent(state: LiveState, content: Content): void {
  const keys = contentOf(state).map(([key]) => key);
  state.begin();
  for (const key of keys) state.delete(key);
  for (const [key, value] of content) state.set(key, value);
  state.commit();
}
