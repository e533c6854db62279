/// <reference lib="deno.unstable" />
/**
 * The house's own lint rules (design, sections 5, 6 and 7), on top of Deno's recommended ones.
 * Loaded by `deno lint` through `lint.plugins` in deno.json; tested with `Deno.lint.runPlugin`.
 */

const ROOT = new URL("../", import.meta.url).pathname;

/** Globals whose work is done between turns of the JS event loop, which a blocked thread never takes. */
const NEEDS_JS_TURN = new Set([
  "Promise",
  "PromiseLike",
  "queueMicrotask",
  "setImmediate",
  "setInterval",
  "setTimeout",
]);
const FFI_NAME = /^(?:dlopen|Unsafe[A-Z]\w*)$/;
const EMPTY_NAME =
  /(?:(?:Manager|Helper|Util)s?|(?:^|_)(?:manager|helper|util|MANAGER|HELPER|UTIL)s?S?)$/;

/** `filename` as seen from the top of the project; a relative one is taken to be so already. */
function projectPath(filename: string): string {
  return filename.startsWith(ROOT) ? filename.slice(ROOT.length) : filename;
}

function runsInBlockingLoop(filename: string): boolean {
  return /^(?:devices|transports)\//.test(projectPath(filename));
}

/** The name of a member access `x.name` or `x["name"]`; undefined when it is computed. */
function memberName(node: Deno.lint.MemberExpression): string | undefined {
  if (!node.computed) return node.property.type === "Identifier" ? node.property.name : undefined;
  if (node.property.type !== "Literal") return undefined;
  return typeof node.property.value === "string" ? node.property.value : undefined;
}

function isDenoNamespace(node: Deno.lint.Node): boolean {
  if (node.type === "Identifier") return node.name === "Deno";
  return node.type === "MemberExpression" && memberName(node) === "Deno";
}

/** The value inside `… as T`, `… satisfies T` and `…!`. */
function unwrapped(node: Deno.lint.Expression): Deno.lint.Expression {
  switch (node.type) {
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSNonNullExpression":
      return unwrapped(node.expression);
    default:
      return node;
  }
}

function isModuleLevel(node: Deno.lint.Node): boolean {
  const parent = "parent" in node ? node.parent : undefined;
  if (parent === undefined || parent === null) return false;
  return parent.type === "Program" || parent.type === "ExportNamedDeclaration";
}

/** Devices and transports run in the I/O worker's blocking loop, where no promise ever settles. */
const noAwaitInLoop: Deno.lint.Rule = {
  create(context) {
    if (!runsInBlockingLoop(context.filename)) return {};
    function report(node: Deno.lint.Node, what: string): void {
      context.report({
        node,
        message: `${what} has no place in devices/ and transports/: the loop they run in blocks`,
        hint: "Take a callback, or use EventLoop.watch, timer or defer",
      });
    }
    function reportAsync(node: Deno.lint.Node & { readonly async: boolean }): void {
      if (node.async) report(node, "An async function");
    }
    return {
      AwaitExpression: (node) => report(node, "`await`"),
      ForOfStatement(node) {
        if (node.await) report(node, "`for await`");
      },
      VariableDeclaration(node) {
        if (node.kind === "await using") report(node, "`await using`");
      },
      FunctionDeclaration: reportAsync,
      FunctionExpression: reportAsync,
      ArrowFunctionExpression: reportAsync,
      Identifier(node) {
        if (!NEEDS_JS_TURN.has(node.name)) return;
        if (node.parent.type === "MemberExpression" && node.parent.property === node) return;
        report(node, `\`${node.name}\``);
      },
    };
  },
};

/** Everything above src/sys can be tested without FFI only while nothing above it uses FFI. */
const noFfiOutsideSys: Deno.lint.Rule = {
  create(context) {
    if (projectPath(context.filename).startsWith("src/sys/")) return {};
    function report(node: Deno.lint.Node, name: string): void {
      context.report({
        node,
        message: `Deno.${name} outside src/sys`,
        hint: "Give src/sys a function for it and call that",
      });
    }
    return {
      MemberExpression(node) {
        const name = memberName(node);
        if (name !== undefined && FFI_NAME.test(name) && isDenoNamespace(node.object)) {
          report(node, name);
        }
      },
      TSQualifiedName(node) {
        if (node.left.type !== "Identifier" || node.left.name !== "Deno") return;
        if (FFI_NAME.test(node.right.name)) report(node, node.right.name);
      },
      VariableDeclarator(node) {
        if (node.init === null || node.id.type !== "ObjectPattern") return;
        if (!isDenoNamespace(node.init)) return;
        for (const property of node.id.properties) {
          if (property.type !== "Property" || property.key.type !== "Identifier") continue;
          if (FFI_NAME.test(property.key.name)) report(property, property.key.name);
        }
      },
    };
  },
};

/** A function at the top of a module is a declaration: it has a name in stack traces and is hoisted. */
const noTopLevelArrow: Deno.lint.Rule = {
  create(context) {
    return {
      VariableDeclaration(node) {
        if (!isModuleLevel(node)) return;
        for (const declarator of node.declarations) {
          if (declarator.init === null) continue;
          const { type } = unwrapped(declarator.init);
          if (type !== "ArrowFunctionExpression" && type !== "FunctionExpression") continue;
          context.report({
            node: declarator,
            message: "A function expression is bound to a name at module level",
            hint: "Write `function name(…) {…}`",
          });
        }
      },
    };
  },
};

/** `#name` is private at run time too; TypeScript's keyword is not. `protected` has no such twin and stays. */
const noPrivateKeyword: Deno.lint.Rule = {
  create(context) {
    function report(node: Deno.lint.Node): void {
      context.report({
        node,
        message: "TypeScript's `private` keyword",
        hint: "Name it `#name`",
      });
    }
    function check(node: Deno.lint.Node & { readonly accessibility?: string | undefined }): void {
      if (node.accessibility !== "private") return;
      // The one thing `#` cannot do: keep `new` to the class's own static functions.
      if (node.type === "MethodDefinition" && node.kind === "constructor") return;
      report(node);
    }
    return {
      PropertyDefinition: check,
      MethodDefinition: check,
      TSAbstractMethodDefinition: check,
      TSAbstractPropertyDefinition: check,
      AccessorProperty: check,
      TSParameterProperty(node) {
        // Deno 2.9 leaves `accessibility` out here, so the text has to tell.
        if (/^(?:@\S+\s+)*private\s/.test(context.sourceCode.getText(node))) report(node);
      },
    };
  },
};

/** Such names say that the thing had no name. */
const noEmptyNames: Deno.lint.Rule = {
  create(context) {
    function report(node: Deno.lint.Node, name: string): void {
      if (!EMPTY_NAME.test(name)) return;
      context.report({
        node,
        message: `The name "${name}" says nothing about what it does`,
        hint: "Name it after what it holds or does, without Manager, Helper or Util",
      });
    }
    function reportId(node: Deno.lint.Node & { readonly id: Deno.lint.Node | null }): void {
      if (node.id?.type === "Identifier") report(node.id, node.id.name);
    }
    function reportKey(node: Deno.lint.Node & { readonly key: Deno.lint.Node }): void {
      const { key } = node;
      if (key.type === "Identifier" || key.type === "PrivateIdentifier") report(key, key.name);
    }
    return {
      Program(node) {
        const stem = (context.filename.split("/").pop() ?? "").replace(/\.[^.]*$/, "");
        report(node, stem);
      },
      ClassDeclaration: reportId,
      FunctionDeclaration: reportId,
      VariableDeclarator: reportId,
      TSInterfaceDeclaration: reportId,
      TSTypeAliasDeclaration: reportId,
      TSEnumDeclaration: reportId,
      MethodDefinition: reportKey,
      PropertyDefinition: reportKey,
    };
  },
};

/** `as any` switches the checker off for whatever follows. */
const noAsAny: Deno.lint.Rule = {
  create(context) {
    function report(
      node: Deno.lint.Node & { readonly typeAnnotation: Deno.lint.Node },
    ): void {
      if (node.typeAnnotation.type !== "TSAnyKeyword") return;
      context.report({
        node,
        message: "A cast to `any`",
        hint: "Narrow the value with a check, or cast to the type it has",
      });
    }
    return { TSAsExpression: report, TSTypeAssertion: report };
  },
};

export default {
  name: "house",
  rules: {
    "no-await-in-loop": noAwaitInLoop,
    "no-ffi-outside-sys": noFfiOutsideSys,
    "no-top-level-arrow": noTopLevelArrow,
    "no-private-keyword": noPrivateKeyword,
    "no-empty-names": noEmptyNames,
    "no-as-any": noAsAny,
  },
} satisfies Deno.lint.Plugin;
