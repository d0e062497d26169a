/** The public surface of `tidemark/testing`: what Tidemark is tested with, for machines of your own. */

export { SeededRandom } from './seeded-random.ts';
