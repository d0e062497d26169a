/**
 * What can follow each verb, read off the program: the one list that all shells' scripts are made from.
 *
 * A place is the verbs that were typed, each with a `/` before it: `/inspect/log`; '' before the first.
 */

import type { Argument, Command, Option } from 'commander';

export interface Word {
  readonly word: string;
  readonly about: string;
}

export interface CompletedOption extends Word {
  /** What follows the option: nothing, the path of a file, a key of the configuration, or anything. */
  readonly value: 'none' | 'path' | 'setting' | 'any';
}

export interface Place {
  readonly place: string;
  /** Verbs, or the values that an argument can have. */
  readonly words: readonly Word[];
  readonly options: readonly CompletedOption[];
  readonly takesPath: boolean;
}

export function completionsOf(program: Command): Place[] {
  return placesFrom(program, '');
}

function placesFrom(command: Command, place: string): Place[] {
  const help: CompletedOption = { word: '--help', about: 'display help', value: 'none' };
  const own: Place = {
    place,
    words: [
      ...command.commands.map((verb) => ({ word: verb.name(), about: verb.description() })),
      ...command.registeredArguments.flatMap(({ argChoices = [], description }) =>
        argChoices.map((word) => ({ word, about: description })),
      ),
    ],
    options: [...command.options.map(completedOption), help],
    takesPath: command.registeredArguments.some(isPath),
  };
  return [own, ...command.commands.flatMap((verb) => placesFrom(verb, `${place}/${verb.name()}`))];
}

function isPath(argument: Argument): boolean {
  return ['dir', 'file'].includes(argument.name());
}

function completedOption({ long, flags, description }: Option): CompletedOption {
  const placeholder = /<(.+)>/.exec(flags)?.[1];
  const word = long ?? flags;
  if (placeholder === undefined) return { word, about: description, value: 'none' };
  if (placeholder === 'path' || placeholder === 'file') return { word, about: description, value: 'path' };
  return { word, about: description, value: placeholder === 'key=value' ? 'setting' : 'any' };
}

/** Options of all places whose value is of this kind, each once. */
export function optionsWith(places: readonly Place[], value: CompletedOption['value']): string[] {
  const words = places.flatMap(({ options }) =>
    options.filter((option) => option.value === value).map(({ word }) => word),
  );
  return [...new Set(words)];
}
