/**
 * A job queue whose process is killed with jobs waiting, claimed and done.
 *
 *     npm run example job-queue
 *
 * Producers and workers get SIGKILL after 1,500 answers. Then the queue is opened again: what was
 * acknowledged is there, what was claimed comes back when its lease is over, and every job is finished once
 * or, if no worker can do it, a dead letter after three attempts. The exit code is 0 only if all of it holds.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { open, Rejection } from 'tidemark';
import { answered, runAndKill } from '../support/killed-process.js';
import { openedAgain } from '../support/opened-again.js';
import type { Report } from '../support/report.js';
import { runExample } from '../support/run-example.js';
import { ATTEMPTS_MAX, type Job, jobQueue, LEASE_MS } from './machine.js';
import { isPoison } from './poison.js';

const ANSWERS = 1500;

/**
 * Jobs have numbers, and one of each producer may never have arrived (workers.ts): where so many in a row are
 * missing, there are no more.
 */
const MISSING_MAX = 8;

const openQueue = (dir: string) => open({ machine: jobQueue, dir });
type QueueNode = Awaited<ReturnType<typeof openQueue>>;

await runExample('job-queue', async (dir, report) => {
  report.step('Producers and workers in another process, until they are killed');
  const program = new URL('./workers', import.meta.url);
  const answers = await runAndKill({ program, args: [dir], lines: ANSWERS }, report);
  const [enqueued, finished] = [answered(answers, 'enqueued'), answered(answers, 'finished')];
  const found = `${enqueued.size} jobs were enqueued, ${finished.size} finished`;
  report.check('answers', found, enqueued.size > 0 && finished.size > 0);

  await using node = await openQueue(dir);
  report.step(openedAgain(node.recovery));
  const jobs = await checkJobs(node, enqueued, finished, report);
  await checkRepetition(node, [...jobs.keys()], report);
  report.step(`The rest is worked on; what was claimed comes back after ${LEASE_MS} ms`);
  await workOff(node, jobs, report);
});

async function jobsOf(node: QueueNode): Promise<Map<string, Job>> {
  const jobs = new Map<string, Job>();
  for (let id = 1, missing = 0; missing <= MISSING_MAX; id++) {
    const job = await node.query('job', String(id));
    missing = job === null ? missing + 1 : 0;
    if (job !== null) jobs.set(String(id), job);
  }
  return jobs;
}

/** The jobs that the directory has, against what producers and workers were told. */
async function checkJobs(
  node: QueueNode,
  enqueued: ReadonlySet<string>,
  finished: ReadonlySet<string>,
  report: Report,
): Promise<Map<string, Job>> {
  const jobs = await jobsOf(node);
  const there = [...enqueued].filter((id) => jobs.has(id)).length;
  report.check('enqueued', `${there} of ${enqueued.size} are there`, there === enqueued.size);
  const done = [...finished].filter((id) => jobs.get(id)?.state === 'done').length;
  report.check('finished', `${done} of ${finished.size} are done`, done === finished.size);
  const in_ = (state: Job['state']) => [...jobs.values()].filter((job) => job.state === state).length;
  report.note(`${in_('waiting')} wait, ${in_('claimed')} are claimed, ${in_('dead')} are dead letters`);
  return jobs;
}

/** Who does not know whether a job arrived enqueues it again: that is why jobs have names. */
async function checkRepetition(node: QueueNode, ids: readonly string[], report: Report): Promise<void> {
  const before = await node.root();
  const news = await Promise.all(ids.map((id) => node.submit('enqueue', { id, payload: 'again' })));
  const after = await node.root();
  const taken = news.filter((isNew) => isNew).length;
  const found = `${taken} of ${ids.length} were taken twice`;
  report.check('again', found, taken === 0 && before.root === after.root);
}

/** Works until no job waits or is claimed, and counts how often each is finished. */
async function workOff(node: QueueNode, before: ReadonlyMap<string, Job>, report: Report): Promise<void> {
  const finishes = new Map<string, number>();
  for (const [id, job] of before) finishes.set(id, job.state === 'done' ? 1 : 0);
  const isLeft = async (id: string) => /waiting|claimed/.test((await node.query('job', id))!.state);
  for (const id of before.keys()) {
    while (await isLeft(id)) {
      const job = await node.submit('claim', 'the one after');
      if (job === null) await sleep(LEASE_MS / 10);
      else if (isPoison(job.id)) await node.submit('fail', job);
      else {
        await node.submit('finish', job);
        finishes.set(job.id, (finishes.get(job.id) ?? 0) + 1);
        await checkOver(node, job, report);
      }
    }
  }
  checkEnd(await jobsOf(node), finishes, report);
}

/** A lease is over once its job is finished. */
async function checkOver(
  node: QueueNode,
  job: { id: string; attempt: number },
  report: Report,
): Promise<void> {
  const error = await node.submit('finish', job).catch((thrown: unknown) => thrown);
  if (!(error instanceof Rejection)) report.check('twice', `job ${job.id} was finished twice`, false);
}

function checkEnd(
  jobs: ReadonlyMap<string, Job>,
  finishes: ReadonlyMap<string, number>,
  report: Report,
): void {
  const all = [...jobs].filter(([id]) => !isPoison(id));
  const once = all.filter(([id, { state }]) => state === 'done' && finishes.get(id) === 1).length;
  report.check('finished', `${once} of ${all.length} once`, once === all.length);
  const poison = [...jobs].filter(([id]) => isPoison(id));
  const dead = poison.filter(
    ([, { state, attempts }]) => state === 'dead' && attempts === ATTEMPTS_MAX,
  ).length;
  report.check(
    'dead letters',
    `${dead} of ${poison.length} after ${ATTEMPTS_MAX} attempts`,
    dead === poison.length,
  );
}
