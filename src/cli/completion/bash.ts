/** The completion script for bash. */

import { optionsWith, type Place } from './completions.ts';

export function bashScript(places: readonly Place[], keys: readonly string[]): string {
  const inner = places.filter(({ place }) => place !== '').map(({ place }) => place);
  const wordsOf = ({ words, options }: Place): string =>
    [...words, ...options].map(({ word }) => word).join(' ');
  const paths = places.filter(({ takesPath }) => takesPath).map(({ place }) => place);
  return `# bash completion of tidemark; also for the bash 3.2 of macOS, which has neither mapfile nor compopt
_tidemark_files() {
  local IFS=$'\\n'
  compopt -o filenames 2> /dev/null
  COMPREPLY=($(compgen -f -- "$1"))
}
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
      _tidemark_files "$current"
      return ;;
    ${optionsWith(places, 'setting').join(' | ')})
      compopt -o nospace 2> /dev/null
      COMPREPLY=($(compgen -S = -W '${keys.join(' ')}' -- "$current"))
      return ;;
    ${optionsWith(places, 'any').join(' | ')})
      return ;;
  esac
  case "$place" in
${places.map((place) => `    '${place.place}') word='${wordsOf(place)}' ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$word" -- "$current"))
  case "$place" in
    ${paths.join(' | ')})
      if [[ $current != -* ]]; then _tidemark_files "$current"; fi ;;
  esac
}
complete -F _tidemark tidemark
`;
}
