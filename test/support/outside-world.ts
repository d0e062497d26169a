/**
 * What procedures have effects on, for tests: a service that remembers by key what was done and what was
 * taken back, and procedures that walk through a plan, step by step, with such effects and with commands.
 */

import { ok, strictEqual } from 'node:assert';
import { Rejection } from '../../src/engine/machine.ts';
import type { Recovery } from '../../src/engine/procedure-record.ts';
import { table } from '../../src/engine/table.ts';
import { machine } from '../../src/engine/typed-machine.ts';
import { type Procedure, procedure } from '../../src/procedures/procedure.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';

/** Counts what took effect: by the names that commands are given. */
export const tally = machine({
  name: 'tally',
  tables: { counts: table<number>() },
  commands: {
    add({ counts }, name: string) {
      if (name.endsWith('refused')) throw new Rejection(`${name} is refused`);
      counts.set(name, (counts.get(name) ?? 0) + 1);
      return counts.get(name)!;
    },
    remove({ counts }, name: string) {
      counts.set(name, (counts.get(name) ?? 0) - 1);
    },
  },
  queries: { count: ({ counts }, name: string) => counts.get(name) ?? 0 },
});

/** One step of a plan. */
export interface PlannedStep {
  readonly kind: 'effect' | 'command';
  /** Attempts that fail before one succeeds. */
  readonly failures: number;
  /** `breaks`: fails at every attempt, until the world is mended. `refused`: by a Rejection. */
  readonly end: 'done' | 'breaks' | 'refused';
  /** Whether the effect has happened when an attempt fails. */
  readonly failsAfter: boolean;
}

export interface Plan {
  readonly id: string;
  readonly steps: readonly PlannedStep[];
}

export const ATTEMPTS = 3;

export function randomPlan(random: SeededRandom, id: string): Plan {
  const steps = Array.from({ length: 1 + random.below(4) }, () => ({
    kind: random.below(3) === 0 ? ('command' as const) : ('effect' as const),
    failures: random.below(ATTEMPTS),
    end: random.below(6) > 0 ? ('done' as const) : random.below(2) === 0 ? 'breaks' : 'refused',
    failsAfter: random.below(2) === 0,
  }));
  return { id, steps: steps as PlannedStep[] };
}

/** The service. It outlives every process that calls it; a process that has died reaches it no more. */
export class OutsideWorld {
  readonly #done = new Map<string, { times: number; isTakenBack: boolean }>();
  /** What breaks, works. */
  isMended = false;
  calls = 0;

  /** What one process calls. */
  connect(): { readonly walks: readonly Walk[]; readonly die: () => void; onCall: () => void } {
    let isAlive = true;
    const connection = {
      walks: (['forward', 'backward'] as const).map((recovery) =>
        this.#walk(recovery, async () => {
          if (isAlive) connection.onCall();
          if (!isAlive) await new Promise<never>(() => undefined); // Nobody is there any more.
          this.calls++;
        }),
      ),
      die: () => {
        isAlive = false;
      },
      onCall: () => undefined as void,
    };
    return connection;
  }

  /** How often an effect took place, and whether that holds. */
  of(key: string): { readonly times: number; readonly isTakenBack: boolean } {
    return this.#done.get(key) ?? { times: 0, isTakenBack: false };
  }

  /** Once by its key, and never again once it was taken back, even if that came first. */
  #do(key: string): string {
    const known = this.#done.get(key);
    if (known === undefined) this.#done.set(key, { times: 1, isTakenBack: false });
    else if (known.isTakenBack) throw new Error(`${key} was taken back`);
    return `did ${key}`;
  }

  #takeBack(key: string): void {
    this.#done.set(key, { times: this.of(key).times, isTakenBack: true });
  }

  /** @param call Waits for ever when the process is gone; a test may end it there. */
  #walk(recovery: Recovery, call: () => Promise<void>): Walk {
    const retry = { attempts: ATTEMPTS, delayMs: 0 };
    const options = { recovery, machine: tally, retry };
    return procedure(`walk_${recovery}`, options, async (step, plan: Plan) => {
      const results: unknown[] = [];
      for (const [at, planned] of plan.steps.entries()) {
        const name = nameOf(plan, at);
        if (planned.kind === 'command') {
          results.push(await step.submit(['add', name], { undo: () => ['remove', name] }));
          continue;
        }
        const attempt = async (key: string, number: number): Promise<string> => {
          await call();
          if (planned.end === 'refused') throw new Rejection(`${name} is refused`);
          const fails = number <= planned.failures || (planned.end === 'breaks' && !this.isMended);
          if (fails && !planned.failsAfter) throw new Error(`${name} failed before it was done`);
          const done = this.#do(key);
          await call();
          if (fails) throw new Error(`${name} failed behind what it did`);
          return done;
        };
        const undo = async (result: unknown, { key }: { readonly key: string }): Promise<void> => {
          ok(result === undefined || result === `did ${key}`, `${String(result)} is the result of ${key}`);
          await call();
          this.#takeBack(key);
          await call();
        };
        results.push(await step(name, ({ key, attempt: number }) => attempt(key, number), { undo }));
      }
      return results;
    });
  }
}

export type Walk = Procedure<Plan, unknown[]>;

export function nameOf({ id, steps }: Plan, at: number): string {
  const { kind, end } = steps[at]!;
  return kind === 'command' && end !== 'done' ? `${id}-${at}-refused` : `${id}-${at}`;
}

/** How many steps from the first on take place, when nothing gets in their way for good. */
export function stepsTaken({ steps }: Plan, isMended: boolean): number {
  const end = steps.findIndex((step) =>
    step.kind === 'command'
      ? step.end !== 'done'
      : step.end === 'refused' || (step.end === 'breaks' && !isMended),
  );
  return end === -1 ? steps.length : end;
}

/** Every step of the plan took place once, up to `taken`, and nothing behind it; or nothing of it holds. */
export async function checkPlan(
  plan: Plan,
  recovery: Recovery,
  world: OutsideWorld,
  count: (name: string) => Promise<number>,
  { taken, holds }: { readonly taken: number; readonly holds: boolean },
): Promise<void> {
  for (const [at, { kind }] of plan.steps.entries()) {
    const name = nameOf(plan, at);
    const wanted = holds && at < taken ? 1 : 0;
    if (kind === 'command') {
      strictEqual(await count(name), wanted, `${recovery} ${name}`);
      continue;
    }
    const { times, isTakenBack } = world.of(`walk_${recovery}/${plan.id}/${at + 1}/${name}`);
    const inDoubt = recovery === 'forward' && at === taken; // A step that fails may have been done.
    ok(times <= 1, `${recovery} ${name}: ${times} times`);
    if (!inDoubt) strictEqual(times === 1 && !isTakenBack ? 1 : 0, wanted, `${recovery} ${name}`);
    if (recovery === 'forward') strictEqual(isTakenBack, false, `${name} is never taken back`);
  }
}
