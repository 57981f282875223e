# Tab completion in bash for `python -m pipeline`, `training` and `evaluation`.
#
#   source docs/completion.bash
#
# jsonargparse writes a completion script (by shtab) for a program of one word. Here each is asked for
# when it is first needed, and is shown the words after `python -m`.

_pseudo_anomaly() {
  local modules="pipeline training evaluation" module=${COMP_WORDS[2]-}
  COMPREPLY=()
  [[ ${COMP_WORDS[1]-} == -m ]] || return 0
  if ((COMP_CWORD == 2)); then
    mapfile -t COMPREPLY < <(compgen -W "$modules" -- "$module")
    return
  fi
  [[ " $modules " == *" $module "* ]] || return 0
  if ! declare -F "_shtab_python__m_$module" >/dev/null; then
    source <(JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT=true \
      "${COMP_WORDS[0]}" -m "$module" --print_completion=shtab-bash 2>/dev/null | grep -v '^complete ')
  fi
  COMP_WORDS=("$module" "${COMP_WORDS[@]:3}")
  ((COMP_CWORD -= 2))
  "_shtab_python__m_$module" 2>/dev/null
}

complete -o bashdefault -o default -F _pseudo_anomaly python python3 .venv/bin/python
