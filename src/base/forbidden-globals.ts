/**
 * Guards the globals that give another value each time: while a machine runs in development mode, using one
 * throws and names what to use instead.
 *
 * The globals are replaced for the time of one synchronous run only, and are what they were right after it.
 * Node's modules, imported by name, are out of reach; what they bring shows as a difference between two runs.
 */

/** What was used, as a program writes it, and what a command or a query has for it. */
export interface ForbiddenUse {
  readonly name: string;
  readonly instead: 'time' | 'chance' | 'outside';
}

type Callable = (...parameters: never[]) => unknown;

interface Guarded {
  readonly holder: object;
  readonly key: string;
  readonly guard: Callable;
}

/** Who is told; null while no machine runs, or Tidemark works for one. */
let onUse: ((use: ForbiddenUse) => never) | null = null;

/** Made when it is first needed: programs that check nothing keep everything as it is. */
let guarded: readonly Guarded[] | null = null;

/**
 * Runs `run`, which is synchronous, under guard.
 * @param forbid Told of each use; what it throws is what the user of the global gets.
 */
export function withForbiddenGlobals<Result>(
  forbid: (use: ForbiddenUse) => never,
  run: () => Result,
): Result {
  guarded ??= guardAll();
  const restores = guarded.map(replace);
  onUse = forbid;
  try {
    return run();
  } finally {
    onUse = null;
    for (const restore of restores.reverse()) restore();
  }
}

/** Runs a part of `run` that is not the machine's: the state reads files, and times them. */
export function withAllowedGlobals<Result>(run: () => Result): Result {
  const before = onUse;
  onUse = null;
  try {
    return run();
  } finally {
    onUse = before;
  }
}

/** Returns what undoes it. */
function replace({ holder, key, guard }: Guarded): () => void {
  const before = Object.getOwnPropertyDescriptor(holder, key);
  const enumerable = before?.enumerable ?? true;
  Object.defineProperty(holder, key, { value: guard, configurable: true, writable: true, enumerable });
  return () => {
    if (before === undefined) Reflect.deleteProperty(holder, key);
    else Object.defineProperty(holder, key, before);
  };
}

function guardAll(): Guarded[] {
  const timers = ['setTimeout', 'setInterval', 'setImmediate'];
  return [
    { holder: globalThis, key: 'Date', guard: guardDate() },
    guardOne(performance, 'now', { name: 'performance.now()', instead: 'time' }),
    { holder: process, key: 'hrtime', guard: guardHrtime() },
    guardOne(Math, 'random', { name: 'Math.random()', instead: 'chance' }),
    guardOne(crypto, 'randomUUID', { name: 'crypto.randomUUID()', instead: 'chance' }),
    guardOne(crypto, 'getRandomValues', { name: 'crypto.getRandomValues()', instead: 'chance' }),
    ...timers.map((name) => guardOne(globalThis, name, { name: `${name}()`, instead: 'outside' })),
    guardOne(globalThis, 'fetch', { name: 'fetch()', instead: 'outside' }),
  ];
}

function guardOne(holder: object, key: string, use: ForbiddenUse): Guarded {
  return { holder, key, guard: guardCalls(holder[key as keyof object], use) };
}

/** The function, with all that hangs on it; calling it is a use. */
function guardCalls<Guard extends Callable>(original: Guard, use: ForbiddenUse): Guard {
  return new Proxy(original, {
    apply(target, self, parameters) {
      onUse?.(use);
      return Reflect.apply(target, self, parameters);
    },
  });
}

/** `new Date(milliseconds)` is as good as any other value: only the time of now is none. */
function guardDate(): typeof Date {
  const now = guardCalls(Date.now, { name: 'Date.now()', instead: 'time' });
  return new Proxy(Date, {
    apply(target, self, parameters) {
      onUse?.({ name: 'Date()', instead: 'time' });
      return Reflect.apply(target, self, parameters);
    },
    construct(target, parameters, made) {
      if (parameters.length === 0) onUse?.({ name: 'new Date()', instead: 'time' });
      return Reflect.construct(target, parameters, made) as Date;
    },
    get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
  });
}

function guardHrtime(): typeof process.hrtime {
  const use: ForbiddenUse = { name: 'process.hrtime()', instead: 'time' };
  const { hrtime } = process;
  const bigint = guardCalls(() => hrtime.bigint(), use);
  return new Proxy(guardCalls(hrtime, use), {
    get: (target, key) => (key === 'bigint' ? bigint : Reflect.get(target, key)),
  });
}
