/**
 * Clients that work on a system from a seed, and write down what they see. The same against a simulated
 * cluster, with simulated time, and against real processes.
 *
 * A client sends one operation at a time. What is not answered in time is sent again with the same session
 * and number; at last the client gives up: the outcome is unknown, and it goes on with a new session. Nothing
 * here waits but on the clock, so that a simulation that turns the clock decides everything.
 */

import type { Clock, Timer } from '../../base/time.ts';
import type { HistoryRecorder } from '../history/history-recorder.ts';
import type { CommandIdentity, Json } from '../history/operation.ts';
import { keyValueModel } from '../linearizability/key-value-model.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { Swarm } from '../swarm.ts';
import { CallSource } from './call-source.ts';
import { resolveWorkloadOptions, type WorkloadOptions } from './workload-options.ts';

/** One attempt of a client. */
export interface WorkloadRequest {
  readonly client: string;
  readonly call: Json;
  /** Null for what changes nothing. */
  readonly command: CommandIdentity | null;
  /** From 1: another one asks another replica, if the system has several. */
  readonly attempt: number;
}

/** What came of an attempt. No reply at all is a reply too, after `timeoutMs`. */
export type WorkloadReply =
  | { readonly kind: 'answer'; readonly answer: Json }
  /** This attempt has no effect and never will. */
  | { readonly kind: 'refused'; readonly reason: string };

/** What clients work with. */
export interface WorkloadDoors {
  readonly seed: number;
  readonly clock: Clock;
  readonly recorder: HistoryRecorder;
  /** Sends an attempt. `reply` may be called at once, late, several times or never. */
  readonly send: (request: WorkloadRequest, reply: (reply: WorkloadReply) => void) => void;
  /** Called when the last client has done all it had to do. */
  readonly onDone?: () => void;
}

/** A workload under way. */
export interface RunningWorkload {
  /** No client begins anything more; what is under way ends as it would. */
  stop(): void;
}

/** Starts every client. */
export function runWorkload(doors: WorkloadDoors, options: WorkloadOptions = {}): RunningWorkload {
  const resolved = resolveWorkloadOptions(options);
  let working = resolved.clients;
  const onDone = (): void => {
    working--;
    if (working === 0) doors.onDone?.();
  };
  const clients = Array.from(
    { length: resolved.clients },
    (_, at) => new WorkloadClient(`c${at + 1}`, { ...doors, onDone }, resolved),
  );
  for (const client of clients) client.think();
  return {
    stop: () => {
      for (const client of clients) client.stop();
    },
  };
}

/** The operation of a client that is under way. */
interface Open {
  readonly id: number;
  readonly call: Json;
  readonly command: CommandIdentity | null;
  attempts: number;
  refused: number;
  timer: Timer;
}

class WorkloadClient {
  readonly #name: string;
  readonly #doors: WorkloadDoors;
  readonly #options: Required<WorkloadOptions>;
  readonly #random: SeededRandom;
  readonly #source: CallSource;
  #left: number;
  #sessions = 1;
  #number = 0;
  #open: Open | null = null;

  constructor(name: string, doors: WorkloadDoors, options: Required<WorkloadOptions>) {
    this.#name = name;
    this.#doors = doors;
    this.#options = options;
    this.#random = new Swarm(doors.seed).stream(`client ${name}`);
    this.#source = new CallSource(name, this.#random, options);
    this.#left = options.operations;
  }

  think(): void {
    if (this.#left === 0) {
      this.#doors.onDone?.();
      return;
    }
    const [min, max] = this.#options.thinkMs;
    this.#doors.clock.after(this.#random.between(min, max), () => this.#begin());
  }

  stop(): void {
    this.#left = 0;
  }

  #begin(): void {
    if (this.#left === 0) return this.think();
    this.#left--;
    const call = this.#source.next();
    const command = keyValueModel.isRead(call)
      ? null
      : { session: `${this.#name}.${this.#sessions}`, number: ++this.#number };
    const id = this.#doors.recorder.invoke(this.#name, call, command);
    const open: Open = { id, call, command, attempts: 0, refused: 0, timer: { cancel: () => undefined } };
    this.#open = open;
    this.#attempt(open);
  }

  #attempt(open: Open): void {
    const attempt = ++open.attempts;
    const { clock, send } = this.#doors;
    open.timer = clock.after(this.#options.timeoutMs, () => this.#again(open));
    let isRefused = false;
    send({ client: this.#name, call: open.call, command: open.command, attempt }, (reply) => {
      if (this.#open !== open) return; // Too late: it has ended.
      if (reply.kind === 'answer') this.#end(open, () => this.#answered(open, reply.answer));
      else if (!isRefused) {
        isRefused = true;
        open.refused++;
        if (attempt === open.attempts) this.#pause(open, reply.reason);
      }
    });
  }

  /** After a refusal: a pause, then another attempt. */
  #pause(open: Open, reason: string): void {
    if (open.attempts > this.#options.retriesMax && open.refused === open.attempts) {
      this.#end(open, () => this.#doors.recorder.refuse(open.id, reason));
      return;
    }
    open.timer.cancel();
    const [min, max] = this.#options.thinkMs;
    open.timer = this.#doors.clock.after(this.#random.between(min, max), () => this.#again(open));
  }

  #again(open: Open): void {
    if (open.attempts <= this.#options.retriesMax) this.#attempt(open);
    else this.#end(open, () => this.#gaveUp(open));
  }

  #answered({ id, call }: Open, answer: Json): void {
    this.#source.learn(call, answer);
    this.#doors.recorder.answer(id, answer);
  }

  /** The command may still take effect: nothing more may come in its session. */
  #gaveUp({ id }: Open): void {
    this.#doors.recorder.unknown(id);
    this.#sessions++;
    this.#number = 0;
  }

  #end(open: Open, record: () => void): void {
    open.timer.cancel();
    this.#open = null;
    record();
    this.think();
  }
}
