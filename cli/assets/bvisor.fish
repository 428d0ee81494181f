# fish completion for bvisor: bvisor itself says what is possible (`bvisor __complete`), this shows it.

function __bvisor_complete
	set -l before (commandline -opc)
	set -l current (commandline -ct)
	for line in ($before[1] __complete $before[2..-1] "$current" 2>/dev/null)
		set -l parts (string split -m 1 \t -- $line)
		switch $parts[1]
			case :files
				__fish_complete_path "$current"
			case :dirs
				__fish_complete_directories "$current" ''
			case :nospace
			case :command
				set -l rest $before[(math $parts[2] + 2)..-1]
				complete --do-complete (string join ' ' -- (string escape -- $rest) "$current")
			case '*'
				echo $line
		end
	end
end

complete -c bvisor -f -a '(__bvisor_complete)'
