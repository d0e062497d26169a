/** The completion script for zsh. */

import { optionsWith, type Place, type Word } from './completions.ts';

export function zshScript(places: readonly Place[], keys: readonly string[]): string {
  const inner = places.filter(({ place }) => place !== '').map(({ place }) => place);
  const paths = places.filter(({ takesPath }) => takesPath).map(({ place }) => place);
  const entries = (words: readonly Word[]): string =>
    words.map(({ word, about }) => quote(`${word}:${about}`)).join(' ');
  return `#compdef tidemark
_tidemark() {
  local place='' word
  local -a verbs options
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$place/$word" in
      ${inner.map((place) => `(${place})`).join(' | ')}) place="$place/$word" ;;
    esac
  done
  case "$words[CURRENT-1]" in
    ${optionsWith(places, 'path').join(' | ')}) _files; return ;;
    ${optionsWith(places, 'setting').join(' | ')}) compadd -S = -- ${keys.join(' ')}; return ;;
    ${optionsWith(places, 'any').join(' | ')}) return ;;
  esac
  case "$place" in
${places
  .map(
    ({ place, words, options }) =>
      `    '${place}') verbs=(${entries(words)}); options=(${entries(options)}) ;;`,
  )
  .join('\n')}
  esac
  case "$place" in
    ${paths.join(' | ')}) _files ;;
  esac
  _describe -t commands 'tidemark' verbs
  _describe -o -t options 'option' options
}
compdef _tidemark tidemark
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
