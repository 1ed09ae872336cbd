# Notes every command line of this machine as long as it runs: each that is started, by the kernel's own account, and
# each that is there, since the kernel drops what is longer than a page.
mountpoint --quiet /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing || exit
words=""
for number in {0..30}; do words+=" w$number=+u0(+u$((8 * number))(+0x68(%di))):ustring"; done
echo "p:lab/exec __x64_sys_execve$words" >kprobe_events
echo 1 >events/lab/exec/enable
# The list of words ends where there is none to be read.
awk '{
    sub(/^.*\(__x64_sys_execve[^)]*\) /, "")
    if (end = match($0, / w[0-9]+="?\(fault\)/)) $0 = substr($0, 1, end - 1)
}
!seen[$0]++ { print; fflush() }' trace_pipe &

# A look forks nothing and reads a process twice, in case the first time was before its `exec`.
declare -A seen looks
while sleep 2; do
    for process in /proc/[0-9]*; do
        [ "${looks[$process]:-0}" -lt 2 ] || continue
        looks[$process]=$((${looks[$process]:-0} + 1))
        mapfile -d '' -t words 2>/dev/null <"$process/cmdline"
        line="${words[*]}"
        if [ -n "$line" ] && [ -z "${seen[$line]+x}" ]; then
            seen[$line]=1
            printf '%s\n' "$line"
        fi
    done
done
