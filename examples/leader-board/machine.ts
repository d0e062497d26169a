/**
 * A leader board: players collect points, in seasons. Scores only go up within a season; so the ten best are
 * kept by looking at who just scored, and at nobody else. Ranks come out of counts.ts.
 */

import { machine, Rejection, table } from 'tidemark';
import { count, countAbove, SCORE_MAX } from './counts.js';

export interface Game {
  readonly game: string;
  readonly name: string;
  readonly points: number;
}

export interface Player {
  readonly name: string;
  readonly score: number;
}

const BEST = 10;

export const leaderBoard = machine({
  name: 'leader-board',
  tables: {
    season: table<number>(),
    games: table<Game & { readonly season: number }>(),
    scores: table<number>(),
    counts: table<number>(),
    best: table<readonly Player[]>(),
  },
  commands: {
    /** The points of one game. A game counts once, however often it is reported. */
    report(tables, played: Game) {
      const { games, scores, counts, best } = tables;
      const { game, name, points } = played;
      if (games.has(game)) return 'known';
      const season = tables.season.get('now') ?? 1;
      const before = scores.get(`${season} ${name}`) ?? 0;
      const score = before + points;
      if (!Number.isInteger(points) || points < 1) throw new Rejection('points are whole, and above zero');
      if (score > SCORE_MAX) throw new Rejection(`a score is at most ${SCORE_MAX}`);
      games.set(game, { ...played, season });
      scores.set(`${season} ${name}`, score);
      if (before > 0) count(counts, season, before, -1);
      count(counts, season, score, 1);
      const others = (best.get(String(season)) ?? []).filter((player) => player.name !== name);
      best.set(String(season), [...others, { name, score }].sort(byScore).slice(0, BEST));
      return 'counted';
    },
    /** Ends the season, whose board stays as it is; returns the number of the new one. */
    nextSeason({ season }) {
      const next = (season.get('now') ?? 1) + 1;
      season.set('now', next);
      return next;
    },
  },
  queries: {
    season: ({ season }) => season.get('now') ?? 1,
    game: ({ games }, game: string) => games.get(game) ?? null,
    best: ({ best }, season: number) => best.get(String(season)) ?? [],
    standing({ scores, counts }, { season, name }: { season: number; name: string }) {
      const score = scores.get(`${season} ${name}`);
      return score === undefined ? null : { score, rank: 1 + countAbove(counts, season, score) };
    },
  },
});

/** The higher score first; of equal ones the name that comes first. */
export function byScore(a: Player, b: Player): number {
  return b.score - a.score || (a.name < b.name ? -1 : 1);
}
