/** `npm run soak -- --states N --seed S`: sets up, then explores crash states (test/soak/crash-states.ts). */

import { setUp } from './setup.mjs';

if (await setUp()) await import('../dist/test/soak/crash-states.js');
else process.exitCode = 1;
