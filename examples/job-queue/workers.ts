/**
 * Producers and workers of the job queue, until they are killed. They say what they were answered:
 * `enqueued 17`, `finished 17`, `failed 40`.
 */

import { open } from 'tidemark';
import { say } from '../support/say.js';
import { jobQueue } from './machine.js';
import { isPoison } from './poison.js';

const PRODUCERS = 8;
const WORKERS = 16;

/** A checkpoint now and then, while jobs come and go. */
const JOBS_A_CHECKPOINT = 250;

const [dir = ''] = process.argv.slice(2);
const node = await open({ machine: jobQueue, dir });
let made = 0;

async function producer(): Promise<never> {
  for (;;) {
    const id = String(++made);
    await node.submit('enqueue', { id, payload: `job ${id}` });
    say(`enqueued ${id}`);
    if (Number(id) % JOBS_A_CHECKPOINT === 0) await node.checkpoint();
  }
}

async function worker(): Promise<never> {
  for (;;) {
    const job = await node.submit('claim', 'worker');
    if (job === null) continue;
    const { id, attempt } = job;
    await node.submit(isPoison(id) ? 'fail' : 'finish', { id, attempt });
    say(`${isPoison(id) ? 'failed' : 'finished'} ${id}`);
  }
}

await Promise.all([
  ...Array.from({ length: PRODUCERS }, producer),
  ...Array.from({ length: WORKERS }, worker),
]);
