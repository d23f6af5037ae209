"""``hyper completion``: the scripts by which shells complete words of ``hyper``."""

from __future__ import annotations

import sys

from hyper.cli.flags import Command, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

# bash takes the line apart at : and = where COMP_WORDBREAKS says so; we do it at blanks, and give back
# only what follows the last of those marks.
_BASH = r"""# Completion of hyper for bash. In ~/.bashrc: source <(hyper completion bash)
_hyper() {
    local line=${COMP_LINE:0:COMP_POINT} words word reply
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=("")
    local partial=${words[-1]}
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        if [[ $word == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen -f -- "$partial")
        else
            [[ $word == *: ]] && compopt -o nospace 2>/dev/null
            COMPREPLY+=("$word")
        fi
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    local mark
    for mark in : =; do
        if [[ $partial == *"$mark"* && $COMP_WORDBREAKS == *"$mark"* ]]; then
            local prefix=${partial%"${partial##*"$mark"}"} i
            for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$prefix"}; done
        fi
    done
}
complete -F _hyper hyper
"""
_ZSH = r"""#compdef hyper
# Completion of hyper for zsh. As _hyper in a folder of $fpath, or: source <(hyper completion zsh)
_hyper() {
    local line word meaning files=
    local -a found
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        meaning=${line#*$'\t'}
        [[ $word == $line ]] && meaning=
        if [[ $word == :files ]]; then files=1; else found+=("${word//:/\\:}:$meaning"); fi
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe hyper found
    [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _hyper ]]; then _hyper "$@"; else compdef _hyper hyper; fi
"""
_FISH = r"""# Completion of hyper for fish. hyper completion fish > ~/.config/fish/completions/hyper.fish
function __hyper_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..] 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c hyper -f -a '(__hyper_complete)'
"""
SCRIPTS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}


def _run(_: Context, arguments: Arguments) -> int:
    shell = arguments.words[0]
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell!r}", hint=f"there is: {', '.join(SCRIPTS)}")
    sys.stdout.write(SCRIPTS[shell])
    return 0


COMPLETION = Command(
    _run,
    words="bash|fish|zsh",
    least=1,
    most=1,
    examples=(
        "source <(hyper completion bash)",
        "hyper completion fish > ~/.config/fish/completions/hyper.fish",
    ),
)
