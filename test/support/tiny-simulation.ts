/**
 * A small system to try the tools of simulations on: one server that keeps everything, behind a network that
 * drops, delays and repeats. It is right with `no` bug; with another it breaks one promise.
 */

import { CommandLedger } from '../../src/testing/checkers/command-ledger.ts';
import { checkConservedTotal } from '../../src/testing/checkers/conserved-total.ts';
import type { Violation } from '../../src/testing/checkers/violation.ts';
import { EventTrace } from '../../src/testing/event-trace.ts';
import { FaultCounts } from '../../src/testing/fault-counts.ts';
import { HistoryRecorder } from '../../src/testing/history/history-recorder.ts';
import { type Json, type Operation, shownCall } from '../../src/testing/history/operation.ts';
import { judgeLinearizability } from '../../src/testing/linearizability/judge-linearizability.ts';
import { keyValueModel } from '../../src/testing/linearizability/key-value-model.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { Focus, SimulationReport } from '../../src/testing/simulation-report.ts';
import { type FaultKind, Swarm } from '../../src/testing/swarm.ts';
import { auditedBalances } from '../../src/testing/workload/call-source.ts';
import {
  runWorkload,
  type WorkloadReply,
  type WorkloadRequest,
} from '../../src/testing/workload/run-workload.ts';

type Bug = 'no' | 'stale-reads' | 'no-sessions' | 'lost-writes' | 'torn-transfers';

const KEYS = 6;
const SIMULATED_MS_MAX = 1_000_000;

const FAULTS: readonly FaultKind[] = [
  { name: 'network.drop-request', rate: [0.01, 0.3] },
  { name: 'network.drop-reply', rate: [0.01, 0.3] },
  { name: 'network.repeat', rate: [0.01, 0.2] },
  { name: 'network.delay', rate: [0.01, 0.2] },
  { name: 'server.refuse', rate: [0.01, 0.2], share: 0.3 },
];

export const simulateRight = (seed: number, focus: Focus | null): SimulationReport =>
  simulate(seed, focus, 'no');
export const simulateStaleReads = (seed: number, focus: Focus | null): SimulationReport =>
  simulate(seed, focus, 'stale-reads');
export const simulateNoSessions = (seed: number, focus: Focus | null): SimulationReport =>
  simulate(seed, focus, 'no-sessions');
export const simulateLostWrites = (seed: number, focus: Focus | null): SimulationReport =>
  simulate(seed, focus, 'lost-writes');
export const simulateTornTransfers = (seed: number, focus: Focus | null): SimulationReport =>
  simulate(seed, focus, 'torn-transfers');

export function simulateThrowing(seed: number, focus: Focus | null): SimulationReport {
  if (seed === 3) throw new Error('the simulation is wrong itself');
  return simulate(seed, focus, 'no');
}

function simulate(seed: number, focus: Focus | null, bug: Bug): SimulationReport {
  const swarm = new Swarm(seed);
  const clock = new ManualClock(0);
  const trace = new EventTrace(focus, 30);
  const counts = new FaultCounts(FAULTS.map(({ name }) => name));
  const server = new Server(bug);
  const network = new Network(swarm, clock, counts);
  const recorder = new HistoryRecorder({ now: () => clock.now() });
  let isOver = false;
  runWorkload(
    {
      seed,
      clock,
      recorder,
      onDone: () => (isOver = true),
      send(request, reply) {
        trace.note(clock.now(), request.client, `attempt ${request.attempt}: ${shownCall(request.call)}`);
        network.carry(
          () => server.take(request),
          (answer) => {
            trace.note(clock.now(), request.client, `← ${JSON.stringify(answer)}`);
            reply(answer);
          },
        );
      },
    },
    { clients: swarm.size('clients', 2, 5), operations: 60, keys: KEYS, timeoutMs: 200, thinkMs: [0, 30] },
  );
  while (!isOver && clock.now() < SIMULATED_MS_MAX) clock.advance(1);

  const operations = recorder.operations();
  return {
    seed,
    description: swarm.describe(),
    simulatedMs: clock.now(),
    traceHash: trace.end(),
    faults: counts.totals(),
    violations: judge(operations, server.ledger),
    lastEvents: trace.last(),
    counts: { operations: operations.length },
  };
}

function judge(operations: readonly Operation[], ledger: CommandLedger): Violation[] {
  for (const { client, command, outcome } of operations) {
    if (command !== null && outcome.kind === 'answered')
      ledger.acknowledged({ client, ...command, index: null });
  }
  return [
    ...judgeLinearizability(keyValueModel, operations),
    ...checkConservedTotal(operations, { total: 0, balancesOf: (one) => auditedBalances(one, KEYS) }),
    ...ledger.end(),
  ];
}

/** Takes one call at a time, and remembers the answers of every session. */
class Server {
  readonly ledger = new CommandLedger();
  readonly #bug: Bug;
  readonly #answers = new Map<string, Json>();
  #state = keyValueModel.initial;
  #before = keyValueModel.initial;
  #index = 0;

  constructor(bug: Bug) {
    this.#bug = bug;
  }

  take({ call, command }: WorkloadRequest): Json {
    if (command === null) {
      return keyValueModel.step(this.#bug === 'stale-reads' ? this.#before : this.#state, call).answer;
    }
    const key = `${command.session}/${command.number}`;
    const known = this.#answers.get(key);
    if (known !== undefined && this.#bug !== 'no-sessions') return known;
    this.#index++;
    const isLost = this.#bug === 'lost-writes' && this.#index % 20 === 0;
    const { answer } = keyValueModel.step(this.#state, call);
    if (!isLost) {
      this.#before = this.#state;
      this.#state = keyValueModel.step(this.#state, this.#torn(call)).state;
      this.ledger.applied({ ...command, index: this.#index });
    }
    this.#answers.set(key, answer);
    return answer;
  }

  /** Of a transfer only the first half. */
  #torn(call: Json): Json {
    const [name, calls] = call as readonly Json[];
    const isTransfer = name === 'MULTI' && (calls as Json[][])[0]![0] === 'INCRBY';
    return this.#bug === 'torn-transfers' && isTransfer ? ['MULTI', [(calls as Json[])[0]!]] : call;
  }
}

/** Carries a request there and its answer back, with faults. */
class Network {
  readonly #rates: Readonly<Record<string, number>>;
  readonly #streams: ReadonlyMap<string, SeededRandom>;
  readonly #delays: SeededRandom;
  readonly #clock: ManualClock;
  readonly #counts: FaultCounts;

  constructor(swarm: Swarm, clock: ManualClock, counts: FaultCounts) {
    this.#rates = swarm.ratesOf(FAULTS);
    this.#streams = new Map(FAULTS.map(({ name }) => [name, swarm.stream(name)]));
    this.#delays = swarm.stream('delays');
    this.#clock = clock;
    this.#counts = counts;
  }

  carry(take: () => Json, reply: (reply: WorkloadReply) => void): void {
    if (this.#strikes('server.refuse')) {
      this.#later(() => reply({ kind: 'refused', reason: 'busy' }));
      return;
    }
    if (this.#strikes('network.drop-request')) return;
    const arrive = (): void => {
      const answer = take();
      if (!this.#strikes('network.drop-reply')) this.#later(() => reply({ kind: 'answer', answer }));
    };
    this.#later(arrive);
    if (this.#strikes('network.repeat')) this.#later(arrive);
  }

  #later(run: () => void): void {
    const slowMs = this.#strikes('network.delay') ? 500 : 0;
    this.#clock.after(this.#delays.between(1, 20) + slowMs, run);
  }

  #strikes(name: string): boolean {
    const isStruck = this.#streams.get(name)!.happens(this.#rates[name]!);
    if (isStruck) this.#counts.happened(name);
    return isStruck;
  }
}
