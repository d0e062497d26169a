/**
 * Games that are reported until the process is killed. Says what was answered, `reported 17`, and `season 2`
 * when one begins.
 */

import { open } from 'tidemark';
import { say } from '../support/say.js';
import { gameOf } from './games.js';
import { leaderBoard } from './machine.js';

/** Reports on the way at a time. */
const REPORTERS = 32;

/** A checkpoint now and then, and a new season half-way. */
const GAMES_A_CHECKPOINT = 300;
const GAMES_A_SEASON = 700;

const [dir = ''] = process.argv.slice(2);
const node = await open({ machine: leaderBoard, dir });
let played = 0;

async function reporter(): Promise<never> {
  for (;;) {
    const number = ++played;
    await node.submit('report', gameOf(number));
    say(`reported ${number}`);
    if (number % GAMES_A_CHECKPOINT === 0) await node.checkpoint();
    if (number % GAMES_A_SEASON === 0) say(`season ${await node.submit('nextSeason')}`);
  }
}

await Promise.all(Array.from({ length: REPORTERS }, reporter));
