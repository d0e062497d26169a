/** `tidemark completion`: a script for the shell, made from the verbs and options themselves. */

import type { Command } from 'commander';
import { bashScript } from './completion/bash.ts';
import { completionsOf } from './completion/completions.ts';
import { fishScript } from './completion/fish.ts';
import { zshScript } from './completion/zsh.ts';
import { CONFIG_KEYS } from './config/keys.ts';
import { EXIT_CODES } from './exit-code.ts';
import { print } from './output.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export function completion(program: Command, shell: keyof typeof SCRIPTS, format: 'text' | 'json'): number {
  const script = SCRIPTS[shell](completionsOf(program), [...CONFIG_KEYS.keys()]);
  print(format === 'json' ? JSON.stringify({ shell, script }) : script.trimEnd());
  return EXIT_CODES.done;
}
