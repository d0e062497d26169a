/** A thread of `runSeeds`: gets seeds, sends reports. */

import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { simulateHere } from './seed-thread.ts';
import type { Focus, Simulate } from './simulation-report.ts';

const port = parentPort;
assert(port !== null, 'it runs in a thread of its own');
const { url, name } = workerData as { readonly url: string; readonly name: string };
const simulate = ((await import(url)) as Readonly<Record<string, unknown>>)[name];
assert(typeof simulate === 'function', `${url} exports a function ${name}`);

port.on('message', ({ seed, focus }: { readonly seed: number; readonly focus: Focus | null }) => {
  void simulateHere(simulate as Simulate, seed, focus).then((report) => port.postMessage(report));
});
