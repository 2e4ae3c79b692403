npx tsc -p tsconfig.build.json 2>&1 | grep -v "npm warn"; chmod +x dist/cli/main.js
