/** The completion script for bash. */

import { optionsWith, type Place } from './completions.ts';

export function bashScript(places: readonly Place[], keys: readonly string[]): string {
  const inner = places.filter(({ place }) => place !== '').map(({ place }) => place);
  const wordsOf = ({ words, options }: Place): string =>
    [...words, ...options].map(({ word }) => word).join(' ');
  const paths = places.filter(({ takesPath }) => takesPath).map(({ place }) => place);
  return `# bash completion of tidemark
_tidemark() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} place='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    case "$place/$word" in
      ${inner.join(' | ')}) place="$place/$word" ;;
    esac
  done
  COMPREPLY=()
  case "$previous" in
    ${optionsWith(places, 'path').join(' | ')})
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return ;;
    ${optionsWith(places, 'setting').join(' | ')})
      compopt -o nospace
      mapfile -t COMPREPLY < <(compgen -S = -W '${keys.join(' ')}' -- "$current")
      return ;;
    ${optionsWith(places, 'any').join(' | ')})
      return ;;
  esac
  case "$place" in
${places.map((place) => `    '${place.place}') word='${wordsOf(place)}' ;;`).join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
  case "$place" in
    ${paths.join(' | ')})
      if [[ $current != -* ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
      fi ;;
  esac
}
complete -F _tidemark tidemark
`;
}
