/**
 * `npm run crash`: a real server on real files, killed again and again under load, always on the same
 * directory. After every start each client holds what it finds against what it was promised.
 *
 * The choices come from the seed; the moments at which they meet the server's work do not, and a failure is
 * not sure to come back with its seed. Hence its directory is kept.
 */

import { mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askOnce } from '../../src/cli/resp-client.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { Reader, Writer } from './clients.ts';
import { before } from './deadline.ts';
import { Violation } from './model.ts';
import { drawRound, type Moment, type Round } from './plan.ts';
import { Saver } from './saver.ts';
import { describeExit, type Listening, ServerProcess } from './server-process.ts';

const WRITERS = 8;
const READ_EVERY_MS = 3;

/** Longest time for clients to notice that their server is gone, or to get their answers. */
const CLIENTS_MS_MAX = 30_000;

const ROUNDS_PER_LINE = 10;

/** The saver ends when it has asked for its checkpoints; the round goes on. */
const NEVER = new Promise<never>(() => undefined);

/** One directory whose making is killed for so many rounds: the main one is made only once. */
const ROUNDS_PER_BIRTH = 10;

/** Making a directory takes 10 to 20 ms after all modules are loaded. */
const BIRTH_MS_MAX = 25;

export interface KillNineOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Of the server: with either, a kill takes nothing that was acknowledged. */
  readonly durability: 'synced' | 'buffered';
  readonly print: (line: string) => void;
}

export interface KillNineSummary {
  readonly seed: number;
  rounds: number;
  kills: number;
  killedStarts: number;
  cleanStops: number;
  pauses: number;
  /** Acknowledged writes, each of which was looked for after every later start. */
  writesAcknowledged: number;
  /** Commands without an answer at the moment of a crash, and those of them that took effect. */
  unanswered: number;
  unansweredApplied: number;
  lost: number;
  twice: number;
  segments: number;
  recoveryMsMax: number;
  tornWrites: number;
  tornBytes: number;
  entriesRewritten: number;
  /** SAVE that was answered, and SAVE that a crash cut short. */
  checkpointsTaken: number;
  checkpointsCutShort: number;
  /** Starts that installed a checkpoint, and files of unfinished ones that starts removed. */
  startsFromCheckpoint: number;
  checkpointFilesRemoved: number;
  /** Null when everything was as promised. */
  failure: string | null;
}

const NOTHING_COUNTED: Omit<KillNineSummary, 'seed'> = {
  rounds: 0,
  kills: 0,
  killedStarts: 0,
  cleanStops: 0,
  pauses: 0,
  writesAcknowledged: 0,
  unanswered: 0,
  unansweredApplied: 0,
  lost: 0,
  twice: 0,
  segments: 0,
  recoveryMsMax: 0,
  tornWrites: 0,
  tornBytes: 0,
  entriesRewritten: 0,
  checkpointsTaken: 0,
  checkpointsCutShort: 0,
  startsFromCheckpoint: 0,
  checkpointFilesRemoved: 0,
  failure: null,
};

/** Runs the rounds; returns what was counted, with the failure if there was one. */
export async function runKillNine(options: KillNineOptions): Promise<KillNineSummary> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-crash-'));
  const test = new KillNine(join(folder, 'data'), options);
  const { summary } = test;
  try {
    await test.run();
    rmSync(folder, { recursive: true });
  } catch (error) {
    const words = await test.abandon();
    if (error instanceof Violation) {
      summary.lost += Number(error.kind === 'lost' || error.kind === 'taken-back');
      summary.twice += Number(error.kind === 'twice');
    }
    const text = error instanceof Violation ? error.message : String((error as Error).stack);
    const round = `round ${summary.rounds + 1}`;
    summary.failure = `${round}: ${text}\nseed ${options.seed}, directory ${folder}\n${words}`;
  }
  return summary;
}

class KillNine {
  readonly summary: KillNineSummary;
  readonly #dir: string;
  readonly #options: KillNineOptions;
  readonly #random: SeededRandom;
  readonly #writers: readonly Writer[];
  readonly #reader: Reader;
  readonly #saver = new Saver();
  #server: ServerProcess | null = null;

  constructor(dir: string, options: KillNineOptions) {
    this.#dir = dir;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#writers = Array.from(
      { length: WRITERS },
      (_, at) => new Writer(`client${at}`, new SeededRandom(options.seed + 1 + at)),
    );
    this.#reader = new Reader(this.#writers);
    this.summary = { ...NOTHING_COUNTED, seed: options.seed };
  }

  async run(): Promise<void> {
    const { rounds, print } = this.#options;
    for (let birth = 0; birth < rounds / ROUNDS_PER_BIRTH; birth++)
      await this.#birth(`${this.#dir}-${birth}`);
    while (this.summary.rounds < rounds) {
      await this.#round(drawRound(this.#random, WRITERS));
      this.summary.rounds++;
      if (this.summary.rounds % ROUNDS_PER_LINE === 0) print(progressLine(this.summary, rounds));
    }
    const { server } = await this.#startAndCheck(null);
    await this.#stop(server);
  }

  /** After a failure: leaves the files as they are, and returns what the server said. */
  async abandon(): Promise<string> {
    this.#server?.signal('SIGKILL');
    await this.#server?.exited;
    return this.#server?.words ?? '';
  }

  /** Kills a server that makes its directory; the next start must find or make it whole, and empty. */
  async #birth(dir: string): Promise<void> {
    const moment = { kind: 'time', ms: this.#random.below(BIRTH_MS_MAX) } as const;
    await this.#killStart(dir, moment, null);
    const server = this.#startServer(dir, null);
    const { port } = await server.listening();
    await this.#expectKeys(port, 0);
    await this.#kill(server);
    rmSync(dir, { recursive: true });
  }

  async #round(round: Round): Promise<void> {
    for (const moment of round.killedStarts) await this.#killStart(this.#dir, moment, round.segmentBytes);
    const { server, port } = await this.#startAndCheck(round.segmentBytes);
    let isEnding = false;
    const isStopping = (): boolean => isEnding && round.end === 'SIGTERM';
    const connections = [
      ...this.#writers.map((writer, at) => writer.run(port, round.paces[at]!, isStopping)),
      this.#reader.run(port, READ_EVERY_MS),
    ];
    const clients = Promise.all(
      connections.map(async (connection) => {
        await connection;
        if (!isEnding) throw new Error('the server closed a connection by itself');
      }),
    );
    const saves = this.#saver.run(port, round.saves);
    await Promise.race([this.#load(server, round), clients, saves.then(() => NEVER)]);
    isEnding = true;
    if (round.end === 'SIGTERM') await this.#stop(server);
    else await this.#kill(server);
    await before(
      CLIENTS_MS_MAX,
      Promise.all([clients, saves]),
      () => 'clients still wait for a server that is gone',
    );
    this.#count();
  }

  /** Lets the clients work until the moment has come. */
  async #load(server: ServerProcess, round: Round): Promise<void> {
    const moment = this.#await(round.moment);
    for (const { afterMs, ms } of round.pauses) {
      await sleep(afterMs);
      server.signal('SIGSTOP');
      await sleep(ms);
      server.signal('SIGCONT');
      this.summary.pauses++;
    }
    if (round.quietMs > 0) {
      for (const writer of this.#writers) writer.pause();
      await sleep(round.quietMs);
      for (const writer of this.#writers) writer.resume();
    }
    await moment;
  }

  /** Kills a start on its way, at the earliest when all modules are loaded. */
  async #killStart(dir: string, moment: Moment, segmentBytes: number | null): Promise<void> {
    const server = this.#startServer(dir, segmentBytes);
    await before(CLIENTS_MS_MAX, server.loaded, () => 'a server does not load');
    await Promise.race([this.#await(moment), server.listening().catch(() => undefined)]);
    await this.#kill(server);
    this.summary.killedStarts++;
  }

  #startServer(dir: string, segmentBytes: number | null): ServerProcess {
    const { durability } = this.#options;
    this.#server = ServerProcess.start({ dir, segmentBytes, durability });
    return this.#server;
  }

  async #startAndCheck(segmentBytes: number | null): Promise<{ server: ServerProcess; port: number }> {
    const server = this.#startServer(this.#dir, segmentBytes);
    const listening = await server.listening();
    this.#countRecovery(listening);
    await this.#check(listening.port);
    return { server, port: listening.port };
  }

  /** Nothing lost, nothing twice, nothing that was never sent. */
  async #check(port: number): Promise<void> {
    const all = new Map<string, string | null>();
    for (const { keys, model } of this.#writers) {
      const values = (await askOnce(port, ['MGET', ...keys])) as readonly (string | null)[];
      const found = new Map(keys.map((key, at) => [key, values[at]!]));
      this.summary.unanswered += model.unansweredCount;
      this.summary.unansweredApplied += model.recovered(found);
      for (const [key, value] of found) all.set(key, value);
    }
    this.#reader.check(all);
    await this.#expectKeys(
      port,
      this.#writers.reduce((sum, { model }) => sum + model.size, 0),
    );
  }

  async #expectKeys(port: number, wanted: number): Promise<void> {
    const size = await askOnce(port, ['DBSIZE']);
    if (size === wanted) return;
    throw new Violation('invented', `${JSON.stringify(size)} keys instead of ${wanted}`);
  }

  async #kill(server: ServerProcess): Promise<void> {
    await server.kill();
    this.summary.kills++;
  }

  async #stop(server: ServerProcess): Promise<void> {
    server.signal('SIGTERM');
    const exit = await server.ended();
    if (exit.code !== 0) throw new Error(`a clean stop ended with ${describeExit(exit)}`);
    this.summary.cleanStops++;
  }

  /** Resolves at the moment; before the first start there is no directory whose changes could tell. */
  async #await(moment: Moment): Promise<void> {
    if (moment.kind === 'time') return sleep(moment.ms);
    let changes = 0;
    const watched = new AbortController();
    const enough = new Promise<void>((resolve) => {
      try {
        watch(join(this.#dir, moment.directory), { signal: watched.signal }, (event) => {
          if (event === 'rename' && ++changes === moment.changes) resolve();
        });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    });
    await Promise.race([enough, sleep(moment.msMax)]);
    watched.abort();
    if (changes >= moment.changes && moment.thenMs > 0) await sleep(moment.thenMs);
  }

  #countRecovery({ recovery }: Listening): void {
    const { summary } = this;
    const isDamage = (warning: string): boolean => warning.includes('damaged');
    if (recovery.warnings.some(isDamage)) throw new Violation('invented', recovery.warnings.join('; '));
    summary.startsFromCheckpoint += Number(recovery.checkpoint !== null);
    const isUnfinished = (warning: string): boolean => warning.includes('left unfinished');
    summary.checkpointFilesRemoved += recovery.warnings.filter(isUnfinished).length;
    summary.recoveryMsMax = Math.max(summary.recoveryMsMax, recovery.tookMs);
    summary.segments = recovery.segments;
    summary.entriesRewritten += recovery.entriesRewritten;
    summary.tornWrites += Number(recovery.bytesDiscarded > 0);
    summary.tornBytes += recovery.bytesDiscarded;
  }

  #count(): void {
    this.summary.writesAcknowledged = this.#writers.reduce(
      (sum, { model }) => sum + model.writesAcknowledged,
      0,
    );
    this.summary.checkpointsTaken = this.#saver.taken;
    this.summary.checkpointsCutShort = this.#saver.cutShort;
  }
}

function progressLine(summary: KillNineSummary, rounds: number): string {
  const { kills, cleanStops, writesAcknowledged, lost, twice, recoveryMsMax } = summary;
  return (
    `round ${summary.rounds} of ${rounds}: ${kills} kills, ${cleanStops} clean stops, ` +
    `${writesAcknowledged.toLocaleString('en')} acknowledged writes checked, lost ${lost}, twice ${twice}, ` +
    `longest recovery ${Math.round(recoveryMsMax)} ms`
  );
}

/** The figures of a run, a line each. */
export function describeSummary(summary: KillNineSummary): string[] {
  const { failure } = summary;
  const number = (value: number): string => value.toLocaleString('en');
  const applied = number(summary.unansweredApplied);
  const cutShort = number(summary.checkpointsCutShort);
  const unanswered = `${number(summary.unanswered)}, of which ${applied} took effect`;
  const rows = [
    ['seed', String(summary.seed)],
    ['rounds', number(summary.rounds)],
    ['kills (SIGKILL)', `${number(summary.kills)}, of which ${number(summary.killedStarts)} during a start`],
    ['clean stops', number(summary.cleanStops)],
    ['pauses (SIGSTOP)', number(summary.pauses)],
    ['acknowledged writes checked', number(summary.writesAcknowledged)],
    ['unanswered at a crash', unanswered],
    ['lost', number(summary.lost)],
    ['applied twice', number(summary.twice)],
    ['longest recovery', `${Math.round(summary.recoveryMsMax)} ms`],
    ['torn writes discarded', `${number(summary.tornWrites)} (${number(summary.tornBytes)} bytes)`],
    ['entries written again', number(summary.entriesRewritten)],
    ['checkpoints taken (SAVE)', `${number(summary.checkpointsTaken)}, ${cutShort} cut short by a crash`],
    ['starts from a checkpoint', number(summary.startsFromCheckpoint)],
    ['files of unfinished ones', number(summary.checkpointFilesRemoved)],
    ['segments at the end', number(summary.segments)],
  ] as const;
  const lines = rows.map(([name, value]) => `  ${name.padEnd(30)}${value}`);
  return failure === null ? [...lines, 'passed'] : [...lines, `FAILED in ${failure}`];
}
