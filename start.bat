@echo off
rem Sets up everything that ccproxy needs beside this file, then runs it. The same commands as start.sh.
setlocal
cd /d "%~dp0"
set REQUIREMENTS=requirements.txt
if /i "%~1"=="test" set REQUIREMENTS=requirements-dev.txt

if not exist .venv\Scripts\python.exe (
  py -3.13 -m venv .venv 2>nul || py -3.12 -m venv .venv 2>nul || py -3 -m venv .venv 2>nul || python -m venv .venv
)
.venv\Scripts\python.exe -c "import sys; sys.exit(sys.version_info < (3, 12))" 2>nul
if errorlevel 1 (
  echo ccproxy needs Python 3.12 or newer. Install it from https://www.python.org/downloads/ and run this again.
  if exist .venv rmdir /s /q .venv
  exit /b 1
)
.venv\Scripts\python.exe -m pip install --quiet --disable-pip-version-check -r %REQUIREMENTS%
if errorlevel 1 (
  echo Installing the packages failed; the lines above say why. Is this machine online?
  exit /b 1
)

if /i "%~1"=="test" (
  .venv\Scripts\python.exe -m pytest -m "not node and not browser and not long" %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%~1"=="demo" (
  .venv\Scripts\python.exe -m addon.demo
) else if /i "%~1"=="web" (
  .venv\Scripts\python.exe -m addon.launch mitmweb %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%~1"=="run" (
  .venv\Scripts\python.exe -m addon.launch mitmdump %2 %3 %4 %5 %6 %7 %8 %9
) else (
  .venv\Scripts\python.exe -m addon.launch mitmdump %*
)
exit /b %errorlevel%
