import { Argument, type Command } from "commander";
import { models } from "../../catalog.ts";
import { dataCatalog } from "../../data/catalog.ts";
import { OptionError } from "../../errors.ts";
import { print } from "../format.ts";

// Completions are texts that a shell loads: all words stand in them, so that nothing is started while one types.

const SHELLS = ["bash", "zsh", "fish"] as const;

/** A command with its options, each with what it does. */
interface Words {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly { readonly flag: string; readonly description: string }[];
  /** What may stand in place of a file. */
  readonly operands: readonly string[];
}

/** What stands behind each command of the program. */
function wordsOf(program: Command): readonly Words[] {
  const modelNames = [...models.keys()];
  const dataNames = dataCatalog.map(({ name }) => name);
  const operands: Readonly<Record<string, readonly string[]>> = {
    fit: [...modelNames, ...dataNames],
    models: modelNames,
    data: dataNames,
    compare: dataNames,
    inspect: ["digit-scenes"],
    completion: SHELLS,
  };
  return program.commands.map((command) => ({
    name: command.name(),
    summary: command.description(),
    options: [
      ...command.options
        .filter(({ long }) => long !== undefined && long !== null)
        .map(({ long, description }) => ({ flag: long ?? "", description })),
      { flag: "--help", description: "display help for command" },
    ],
    operands: operands[command.name()] ?? [],
  }));
}

/** What may stand in place of a command. */
const TOP_FLAGS = [
  { flag: "--help", description: "display help for command" },
  { flag: "--version", description: "print the version" },
] as const;

const one = (text: string): string => text.replaceAll(/\s+/g, " ");

function bash(commands: readonly Words[]): string {
  const cases = commands.map(({ name, options, operands }) => {
    const flags = options.map(({ flag }) => flag).join(" ");
    return `    ${name}) flags="${flags}"; words="${operands.join(" ")}" ;;`;
  });
  return `# eidos completion bash > ~/.local/share/bash-completion/completions/eidos
_eidos() {
  local current="\${COMP_WORDS[COMP_CWORD]}" flags="" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${[...commands.map(({ name }) => name), ...TOP_FLAGS.map(({ flag }) => flag)].join(" ")}" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current")) ;;
  esac
}
complete -o filenames -F _eidos eidos`;
}

/** A text between single quotes of a shell. */
const quoted = (text: string): string => `'${one(text).replaceAll("'", "'\\''")}'`;

function zsh(commands: readonly Words[]): string {
  const described = (flag: string, description: string): string =>
    quoted(`${flag}:${description.replaceAll(":", "\\:")}`);
  const cases = commands.map(({ name, options, operands }) => {
    const flags = options.map(({ flag, description }) => described(flag, description)).join(" ");
    return `    ${name}) flags=(${flags}); names=(${operands.join(" ")}) ;;`;
  });
  const top = TOP_FLAGS.map(({ flag, description }) => described(flag, description)).join(" ");
  return `#compdef eidos
# eidos completion zsh > "\${fpath[1]}/_eidos"
_eidos() {
  local -a commands flags names
  commands=(${commands.map(({ name, summary }) => described(name, summary)).join(" ")})
  if (( CURRENT == 2 )); then
    flags=(${top})
    if [[ $words[CURRENT] == -* ]]; then _describe option flags; else _describe command commands; fi
    return
  fi
  local command=$words[2]
  local typed=$words[CURRENT]
  case $command in
${cases.join("\n")}
  esac
  if [[ $typed == -* ]]; then
    _describe option flags
  else
    (( \${#names} )) && compadd -a names
    _files
  fi
}
# As a file of fpath this is the function itself; read by source it declares it.
if [[ $funcstack[1] == _eidos ]]; then _eidos "$@"; else compdef _eidos eidos; fi`;
}

function fish(commands: readonly Words[]): string {
  const lines = commands.flatMap(({ name, summary, options, operands }) => [
    `complete -c eidos -n __eidos_begins -f -a ${name} -d ${quoted(summary)}`,
    ...(operands.length === 0
      ? []
      : [`complete -c eidos -n '__eidos_is ${name}' -a '${operands.join(" ")}'`]),
    ...options.map(
      ({ flag, description }) =>
        `complete -c eidos -n '__eidos_is ${name}' -l ${flag.replace(/^--/, "")} -d ${quoted(description)}`,
    ),
  ]);
  const top = TOP_FLAGS.map(
    ({ flag, description }) =>
      `complete -c eidos -n __eidos_begins -l ${flag.replace(/^--/, "")} -d ${quoted(description)}`,
  );
  return `# eidos completion fish > ~/.config/fish/completions/eidos.fish
function __eidos_begins
  test (count (commandline -opc)) -eq 1
end
function __eidos_is
  set -l typed (commandline -opc)
  test (count $typed) -ge 2; and test $typed[2] = $argv[1]
end
${[...lines, ...top].join("\n")}`;
}

export function configure(command: Command): void {
  const [declared] = command.registeredArguments;
  if (declared instanceof Argument) declared.description = SHELLS.join(", ");
  command.option("--json", "print the words as JSON");
  command.option("--quiet", "show no progress");
  command.addHelpText(
    "after",
    "\nExamples:\n  eidos completion bash > ~/.local/share/bash-completion/completions/eidos\n  eidos completion zsh > ~/.zfunc/_eidos\n  eidos completion fish > ~/.config/fish/completions/eidos.fish",
  );
  command.action((shell: string, { json }: { json?: boolean }) => {
    const words = wordsOf(command.parent ?? command);
    const script = { bash, zsh, fish }[shell as (typeof SHELLS)[number]];
    if (!Object.hasOwn({ bash, zsh, fish }, shell) || script === undefined) {
      throw new OptionError(`completion: ${shell} is none of ${SHELLS.join(", ")}`);
    }
    print(json ? JSON.stringify(words, null, 2) : script(words));
  });
}
