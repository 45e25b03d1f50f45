@echo off
rem Sets up everything that ccproxy needs beside this file, then runs it. The same commands as start.sh.
rem Double-clicked it runs the proxy, and the tunnel with it when cloudflared is installed.
setlocal
cd /d "%~dp0"
set PYTHON=.venv\Scripts\python.exe
set COMMAND=%~1
if "%COMMAND%"=="" set COMMAND=run
if "%~1"=="" where cloudflared >nul 2>nul && set COMMAND=tunnel
set REQUIREMENTS=requirements.txt
if /i "%COMMAND%"=="test" set REQUIREMENTS=requirements-dev.txt

if not exist %PYTHON% (
  py -3.13 -m venv .venv 2>nul || py -3.12 -m venv .venv 2>nul || py -3 -m venv .venv 2>nul || python -m venv .venv
)
%PYTHON% -c "import sys; sys.exit(sys.version_info < (3, 12))" 2>nul
if errorlevel 1 (
  echo ccproxy needs Python 3.12 or newer. Install it from https://www.python.org/downloads/ and run this again.
  if exist .venv rmdir /s /q .venv
  goto failed
)
%PYTHON% -m pip install --quiet --disable-pip-version-check -r %REQUIREMENTS%
if errorlevel 1 (
  echo Installing the packages failed; the lines above say why. Is this machine online?
  goto failed
)

if /i "%COMMAND%"=="test" (
  %PYTHON% -m pytest -n 4 --dist loadfile -m "not node and not browser and not long" %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%COMMAND%"=="demo" (
  %PYTHON% -m addon.cli.demo
) else if /i "%COMMAND%"=="tunnel" (
  %PYTHON% -m addon.cli.tunnel %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%COMMAND%"=="doctor" (
  %PYTHON% -m addon.cli.doctor %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%COMMAND%"=="rerun" (
  %PYTHON% -m addon.cli.rerun %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%COMMAND%"=="web" (
  %PYTHON% -m addon.cli.launch mitmweb %2 %3 %4 %5 %6 %7 %8 %9
) else if /i "%COMMAND%"=="run" (
  %PYTHON% -m addon.cli.launch mitmdump %2 %3 %4 %5 %6 %7 %8 %9
) else (
  %PYTHON% -m addon.cli.launch mitmdump %*
)
if not errorlevel 1 exit /b 0

:failed
rem a window that closes at once would hide why
if "%~1"=="" pause
exit /b 1
