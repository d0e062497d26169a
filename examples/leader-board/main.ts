/**
 * A leader board whose process is killed while games are reported and a season ends.
 *
 *     npm run example leader-board
 *
 * Games are reported by another process, which gets SIGKILL after 1,200 answers. Then scores, ranks and the
 * ten best of every season are computed anew from the games that are there, and compared. The exit code is 0
 * only if all of it holds.
 */

import { open } from 'tidemark';
import { answered, runAndKill } from '../support/killed-process.js';
import { openedAgain } from '../support/opened-again.js';
import type { Report } from '../support/report.js';
import { runExample } from '../support/run-example.js';
import { gameOf } from './games.js';
import { byScore, leaderBoard, type Player } from './machine.js';

const ANSWERS = 1200;

/** Games that may have been on the way when the process was killed (reporters.ts). */
const ON_THE_WAY_MAX = 32;

const openBoard = (dir: string) => open({ machine: leaderBoard, dir });
type BoardNode = Awaited<ReturnType<typeof openBoard>>;

/** Players of each season, the best first. */
type Boards = ReadonlyMap<number, readonly Player[]>;

await runExample('leader-board', async (dir, report) => {
  report.step('Games are reported by another process, until it is killed');
  const program = new URL('./reporters', import.meta.url);
  const answers = await runAndKill({ program, args: [dir], lines: ANSWERS }, report);
  const [reported, seasons] = [answered(answers, 'reported'), answered(answers, 'season')];
  const found = `${reported.size} games were reported, season ${[...seasons].join()} began`;
  report.check('answers', found, reported.size > 0 && seasons.size === 1);

  await using node = await openBoard(dir);
  report.step(openedAgain(node.recovery));
  const played = Math.max(...[...reported].map(Number)) + ON_THE_WAY_MAX;
  const there = await checkGames(node, played, reported, report);
  const season = await node.query('season');
  report.check('season', `it is season ${season}`, seasons.has(String(season)));
  await checkBoards(node, boardsOf(there), report);
  await checkRepetition(node, [...there.keys()], report);
});

/** The season of every game that the board has, against what was told. */
async function checkGames(
  node: BoardNode,
  played: number,
  reported: ReadonlySet<string>,
  report: Report,
): Promise<Map<number, number>> {
  const there = new Map<number, number>();
  for (let number = 1; number <= played; number++) {
    const game = await node.query('game', String(number));
    if (game !== null) there.set(number, game.season);
  }
  const found = [...reported].filter((number) => there.has(Number(number))).length;
  report.check('reported', `${found} of ${reported.size} games are there`, found === reported.size);
  return there;
}

/** What the games come to, without the machine. */
function boardsOf(seasonOf: ReadonlyMap<number, number>): Boards {
  const scores = new Map<number, Map<string, number>>();
  for (const [number, season] of seasonOf) {
    const { name, points } = gameOf(number);
    const players = scores.get(season) ?? new Map<string, number>();
    scores.set(season, players.set(name, (players.get(name) ?? 0) + points));
  }
  const board = (players: ReadonlyMap<string, number>) =>
    [...players].map(([name, score]) => ({ name, score })).sort(byScore);
  return new Map([...scores].map(([season, players]) => [season, board(players)]));
}

async function checkBoards(node: BoardNode, boards: Boards, report: Report): Promise<void> {
  for (const [season, players] of boards) {
    const best = await node.query('best', season);
    const isBest = JSON.stringify(best) === JSON.stringify(players.slice(0, 10));
    let right = 0;
    for (const { name, score } of players) {
      const rank = 1 + players.filter((other) => other.score > score).length;
      const standing = await node.query('standing', { season, name });
      if (standing?.score === score && standing.rank === rank) right++;
    }
    const first = best[0] === undefined ? 'nobody' : `${best[0].name} with ${best[0].score}`;
    report.check(`season ${season}`, `first is ${first}; the ten best are right`, isBest);
    report.check(
      `season ${season}`,
      `${right} of ${players.length} ranks are right`,
      right === players.length,
    );
  }
}

/** Who does not know whether a game was counted reports it again: that is why games have names. */
async function checkRepetition(node: BoardNode, games: readonly number[], report: Report): Promise<void> {
  const before = await node.root();
  const again = await Promise.all(games.map((number) => node.submit('report', gameOf(number))));
  const after = await node.root();
  const twice = again.filter((answer) => answer === 'counted').length;
  const isSame = twice === 0 && before.root === after.root;
  report.check('again', `${twice} of ${games.length} games counted twice`, isSame);
}
