/**
 * A rate limiter whose process is killed while clients use up their tokens.
 *
 *     npm run example rate-limiter
 *
 * Four clients have 400 tokens each, and get one new an hour. A crash that forgot a request would let them
 * have more than that; one that counted a request twice, less. The exit code is 0 only if neither happened.
 */

import { open } from 'tidemark';
import { runAndKill } from '../support/killed-process.js';
import { openedAgain } from '../support/opened-again.js';
import type { Report } from '../support/report.js';
import { runExample } from '../support/run-example.js';
import { rateLimiter } from './machine.js';

const CLIENTS = ['ada', 'ben', 'cem', 'dia'];
const LIMIT = { burst: 400, perSecond: 1 / 3600 };
const ANSWERS = 1200;

/** Requests that may have been on the way when the callers were killed (callers.ts). */
const ON_THE_WAY_MAX = 32;

const openLimiter = (dir: string) => open({ machine: rateLimiter, dir });
type LimiterNode = Awaited<ReturnType<typeof openLimiter>>;

await runExample('rate-limiter', async (dir, report) => {
  await prepare(dir, report);
  report.step('Callers in another process make requests, until they are killed');
  const program = new URL('./callers', import.meta.url);
  const answers = await runAndKill({ program, args: [dir, ...CLIENTS], lines: ANSWERS }, report);
  const allowed = (client: string) =>
    answers.filter(([kind, who]) => kind === 'allowed' && who === client).length;
  await using node = await openLimiter(dir);
  report.step(openedAgain(node.recovery));
  const spent = await checkSpent(node, allowed, report);
  report.step('Every client goes on until it is refused');
  for (const client of CLIENTS) await checkRest(node, client, spent.get(client)!, report);
});

async function prepare(dir: string, report: Report): Promise<void> {
  await using node = await openLimiter(dir);
  for (const client of CLIENTS) await node.submit('limit', { client, limit: LIMIT });
  report.step(`${CLIENTS.length} clients with ${LIMIT.burst} tokens each, and one new an hour`);
}

/** What each client has spent: all that was allowed, and no more than was on the way beside. */
async function checkSpent(
  node: LimiterNode,
  allowed: (client: string) => number,
  report: Report,
): Promise<Map<string, number>> {
  const spent = new Map<string, number>();
  for (const client of CLIENTS) {
    const bucket = await node.query('bucket', client);
    const count = LIMIT.burst - Math.floor(bucket?.tokens ?? LIMIT.burst);
    spent.set(client, count);
    const told = allowed(client);
    report.check(
      client,
      `${count} spent; ${told} were told so`,
      told <= count && count <= told + ON_THE_WAY_MAX,
    );
  }
  return spent;
}

/** What is left of the tokens, and not one more. */
async function checkRest(node: LimiterNode, client: string, spent: number, report: Report): Promise<void> {
  let got = 0;
  let verdict = await node.submit('take', { client, tokens: 1 });
  for (; verdict.isAllowed; verdict = await node.submit('take', { client, tokens: 1 })) got++;
  const isRight = spent + got === LIMIT.burst && verdict.retryAfterMs > 0;
  const wait = `the next in ${Math.ceil(verdict.retryAfterMs / 60_000)} minutes`;
  report.check(client, `${spent} + ${got} of ${LIMIT.burst}, ${wait}`, isRight);
}
