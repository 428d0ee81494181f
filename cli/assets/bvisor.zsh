#compdef bvisor
# zsh completion for bvisor: bvisor itself says what is possible (`bvisor __complete`), this shows it.

_bvisor() {
	local line word description
	local -a lines found suffix
	local -i files=0 dirs=0
	lines=("${(@f)$("${(Q)words[1]/#\~\//$HOME/}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	for line in "${lines[@]}"; do
		word=${line%%$'\t'*}
		description=
		[[ $line == *$'\t'* ]] && description=${line#*$'\t'}
		case $word in
		'') ;;
		:files) files=1 ;;
		:dirs) dirs=1 ;;
		:nospace) suffix=(-S '') ;;
		:command)
			words=("${(@)words[description + 2,-1]}")
			((CURRENT -= description + 1))
			_normal -p bvisor
			return
			;;
		*) found+=("${word//:/\\:}${description:+:$description}") ;;
		esac
	done
	((${#found})) && _describe -V bvisor found "${suffix[@]}"
	((files)) && _files
	((dirs)) && _files -/
	return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_bvisor "$@"
else
	compdef _bvisor bvisor
fi
