/** The games of the example: who won how much in which. */

import type { Game } from './machine.js';

const PLAYERS = 50;

export function gameOf(number: number): Game {
  const name = `player-${(17 * number + (number >> 3)) % PLAYERS}`;
  return { game: String(number), name, points: 1 + ((number * 7919) % 100) };
}
