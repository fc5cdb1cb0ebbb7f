import js from "@eslint/js";
import globals from "globals";

const workers = ["**/page/*_worker.js"];

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, sourceType: "module" },
    rules: {
      curly: ["error", "multi-line"],
      eqeqeq: ["error", "always", { null: "ignore" }],
      "max-lines": ["error", 400],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  { files: ["**/page/*.js"], languageOptions: { globals: globals.browser } },
  { files: workers, languageOptions: { sourceType: "script", globals: globals.worker } },
  {
    files: ["**/*.test.mjs", "**/page/stand_ins.mjs"],
    languageOptions: { globals: globals.node },
    rules: { "max-lines-per-function": "off" },
  },
];
