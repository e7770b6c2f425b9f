import { MissingPackageError, RuntimeError } from "../../errors.ts";
import { nativeCall } from "../../program/native-calls.node.ts";

/**
 * Imports an optional package when it is first needed.
 * @param purpose what needs it, as in "reading images"
 * @throws MissingPackageError where it is not installed, RuntimeError where it does not load.
 */
export async function optional<T>(name: string, purpose: string, load: () => Promise<T>): Promise<T> {
  try {
    return await nativeCall(load);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") {
      throw new MissingPackageError(
        `${purpose} needs the package ${name}, which is not installed; run \`npm install ${name}\``,
        { cause: error },
      );
    }
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw new RuntimeError(
      `${purpose} needs the package ${name}, which does not load here (${reason}); run \`npm install ${name}\` again`,
      { cause: error },
    );
  }
}
