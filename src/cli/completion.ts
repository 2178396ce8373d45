import { Argument, Command } from "commander";
import type { Context } from "./context.ts";
import { COMPLETE } from "./reserved.ts";

const SCRIPTS = {
  bash: `_lagan() {
  local IFS=$'\\n'
  COMPREPLY=($(lagan ${COMPLETE} "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -F _lagan lagan
`,
  zsh: `#compdef lagan
_lagan() {
  local -a found
  found=("\${(@f)$(lagan ${COMPLETE} "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -- $found
}
compdef _lagan lagan
`,
  fish: `complete -c lagan -f -a '(lagan ${COMPLETE} (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
} as const;

const HOW = `
  bash   lagan completion bash > /etc/bash_completion.d/lagan
  zsh    lagan completion zsh > "\${fpath[1]}/_lagan"
  fish   lagan completion fish > ~/.config/fish/completions/lagan.fish`;

/** `lagan completion` */
export function completionCommand(context: Context): Command {
  return new Command("completion")
    .description("Print the script that makes a shell complete verbs, flags and names")
    .addArgument(new Argument("<shell>", "your shell").choices(Object.keys(SCRIPTS)))
    .addHelpText("after", HOW)
    .action((shell: keyof typeof SCRIPTS) => context.out(SCRIPTS[shell]));
}
