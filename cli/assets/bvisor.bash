# bash completion for bvisor: bvisor itself says what is possible (`bvisor __complete`), this shows it.
# In words of COMP_WORDS an option with '=' or a NAME@3 is cut to pieces, so the line is split at blanks here.

__bvisor_offset() { # which of COMP_WORDS word $1 of ours begins at
	local -i want=$1 at=0 ours=0
	local got=
	for ((; at < COMP_CWORD; at++)); do
		((ours == want)) && break
		got+=${COMP_WORDS[at]}
		if [[ $got == "${__bvisor_words[ours]}" ]]; then
			ours+=1 got=
		fi
	done
	echo "$at"
}

__bvisor_paths() { # -f files, -d directories
	local -a paths
	mapfile -t paths < <(compgen "$1" -- "${current#"$strip"}")
	if ((${#paths[@]})); then
		COMPREPLY+=("${paths[@]}")
		compopt -o filenames 2>/dev/null
	fi
}

_bvisor() {
	local line=${COMP_LINE:0:COMP_POINT} word description strip
	local -a __bvisor_words lines
	read -ra __bvisor_words <<<"$line"
	[[ $line == *[[:blank:]] ]] && __bvisor_words+=("")
	local current=${__bvisor_words[-1]}
	mapfile -t lines < <("${COMP_WORDS[0]/#\~\//$HOME/}" __complete "${__bvisor_words[@]:1}" 2>/dev/null)
	strip=${current%"${current##*["$COMP_WORDBREAKS"]}"}
	strip=${strip%@} # readline leaves this one in the word
	COMPREPLY=()
	for line in "${lines[@]}"; do
		IFS=$'\t' read -r word description <<<"$line"
		case $word in
		:files) __bvisor_paths -f ;;
		:dirs) __bvisor_paths -d ;;
		:nospace) compopt -o nospace 2>/dev/null ;;
		:command)
			if declare -F _command_offset >/dev/null; then
				_command_offset "$(__bvisor_offset $((description + 1)))"
			elif ((description + 2 == ${#__bvisor_words[@]})); then
				mapfile -t COMPREPLY < <(compgen -c -- "$current")
			else
				__bvisor_paths -f
			fi
			return
			;;
		*) COMPREPLY+=("${word#"$strip"}") ;;
		esac
	done
}

complete -F _bvisor bvisor
