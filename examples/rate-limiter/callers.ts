/** Callers of the rate limiter, until they are killed. They say what they were answered: `allowed ada`. */

import { open } from 'tidemark';
import { say } from '../support/say.js';
import { rateLimiter } from './machine.js';

/** Requests on the way at a time. */
const CALLERS = 32;

/** A checkpoint now and then, while requests go on. */
const REQUESTS_A_CHECKPOINT = 500;

const [dir = '', ...clients] = process.argv.slice(2);
const node = await open({ machine: rateLimiter, dir });
let sent = 0;

async function caller(): Promise<never> {
  for (;;) {
    const request = ++sent;
    const client = clients[request % 2 === 0 ? 0 : (request >> 1) % clients.length]!; // Half are the first's.
    const { isAllowed } = await node.submit('take', { client, tokens: 1 });
    say(`${isAllowed ? 'allowed' : 'refused'} ${client}`);
    if (request % REQUESTS_A_CHECKPOINT === 0) await node.checkpoint();
  }
}

await Promise.all(Array.from({ length: CALLERS }, caller));
